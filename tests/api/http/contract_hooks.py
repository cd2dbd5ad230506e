"""Hooks of schemathesis: the encoding of a STOW-RS body, and known values for parameters."""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import schemathesis

# Known values by the name of a parameter or field; random values would hardly ever equal one.
KNOWN: dict[str, list[Any]] = json.loads(os.environ.get("CONTRACT_KNOWN", "{}"))
_VALID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_OFTEN, _SELDOM = 60, 4


@schemathesis.serializer("multipart/related")
def related(_context: Any, value: Any) -> bytes:
    """One part with the generated value; without a boundary in the header the whole body is refused."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Replace some values by known ones, few of them in operations that delete."""
    return _mixed(path_parameters, _SELDOM if context.operation.method == "delete" else _OFTEN)


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Replace some fields of bodies by known values."""
    return _mixed(body, _OFTEN)


def _mixed(values: Any, percent: int) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: _chosen(name, value, percent) for name, value in values.items()}


def _chosen(name: str, value: Any, percent: int) -> Any:
    """A known value in place of `percent` % of the generated values; the choice depends only on the value.
    What was generated to be refused stays.
    """
    known, checksum = KNOWN.get(name), zlib.crc32(repr(value).encode("utf-8", "replace"))
    is_valid = (
        type(value) is int if name == "image_id" else isinstance(value, str) and _VALID.fullmatch(value)
    )
    if not known or not is_valid or checksum % 100 >= percent:
        return value
    return known[checksum // 100 % len(known)]
