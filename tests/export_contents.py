"""Whether an export holds words anywhere: raw, in compressed streams, in decoded values, on its pages."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pydicom
import pytest

_CODES = ("utf-8", "utf-16-be", "utf-16-le", "latin-1")


def held(content: bytes, words: Iterable[str]) -> list[str]:
    """Those of `words` that stand in any reading of the file, whatever its white space and case."""
    readings = list(_readings(content))
    texts = [_squeezed(one) for one in readings if isinstance(one, str)]
    raw = [b"".join(one.lower().split()) for one in readings if isinstance(one, bytes)]
    found = []
    for one in words:
        sought = _squeezed(one)
        spellings = {sought.encode(code, "replace") for code in _CODES}
        if any(sought in text for text in texts) or any(
            spelling in part for spelling in spellings for part in raw
        ):
            found.append(one)
    return found


def _readings(content: bytes) -> Iterator[str | bytes]:
    yield content
    if content[128:132] == b"DICM":
        yield from _dicom(content)
    elif content[:4] == b"%PDF":
        yield from _pdf(content)
    elif content[:1] == b"{":
        yield from _json(json.loads(content))
    else:
        yield re.sub(r"[\\*]", "", content.decode())  # Markdown's escapes and bold marks


def _dicom(content: bytes) -> Iterator[str | bytes]:
    dataset = pydicom.dcmread(io.BytesIO(content))
    for element in dataset.iterall():
        if element.VR != "SQ":
            yield str(element.value)
    if "EncapsulatedDocument" in dataset:
        yield from _pdf(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])


def _pdf(content: bytes) -> Iterator[str | bytes]:
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler-utils) is not installed")
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            yield zlib.decompress(stream[1])
        except zlib.error:
            yield stream[1]
    command = ["pdftotext", "-raw", "-nopgbrk", "-", "-"]
    yield subprocess.run(command, input=content, capture_output=True, check=True).stdout.decode()


def _json(value: Any) -> Iterator[str | bytes]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        if value.get("contentType") == "application/pdf":
            yield from _pdf(base64.b64decode(value["data"]))
        for member in value.values():
            yield from _json(member)
    elif isinstance(value, list):
        for member in value:
            yield from _json(member)


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())
