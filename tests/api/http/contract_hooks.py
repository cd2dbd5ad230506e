"""What schemathesis must be told: how instances travel in a STOW-RS body, and what there is to ask about."""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import schemathesis

# Known values by the name of a parameter or field; most of what is drawn would never meet one.
KNOWN: dict[str, list[Any]] = json.loads(os.environ.get("CONTRACT_KNOWN", "{}"))
_VALID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_OFTEN, _SELDOM = 60, 4


@schemathesis.serializer("multipart/related")  # type: ignore[untyped-decorator]
def related(_context: Any, value: Any) -> bytes:
    """One part with whatever was drawn; without a boundary in its header the body is refused as a whole."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Put known values in the place of some; what deletes meets one now and then."""
    return _mixed(path_parameters, _SELDOM if context.operation.method == "delete" else _OFTEN)


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """The same for fields of bodies."""
    return _mixed(body, _OFTEN)


def _mixed(values: Any, percent: int) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: _chosen(name, value, percent) for name, value in values.items()}


def _chosen(name: str, value: Any, percent: int) -> Any:
    """A known value for `percent` of those that are drawn, always the same for the same. What is drawn to be
    refused stays.
    """
    known, drawn = KNOWN.get(name), zlib.crc32(repr(value).encode("utf-8", "replace"))
    is_valid = (
        type(value) is int if name == "image_id" else isinstance(value, str) and _VALID.fullmatch(value)
    )
    if not known or not is_valid or drawn % 100 >= percent:
        return value
    return known[drawn // 100 % len(known)]
