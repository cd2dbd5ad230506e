"""TOML files of users, parsed in time and memory that grow only with their length.

`tomllib` recurses for every nested bracket and takes quadratic time for a dotted key: 100,000 brackets end in
a RecursionError, a key of 100,000 parts takes minutes.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
"""Brackets and braces within each other."""
MAX_PARTS = 32
"""Parts of a dotted key."""

# Strings of the four kinds (toml.io/en/v1.0.0), comments, and the marks that count. A string is matched as a
# whole, one without an end as far as it goes: no character is matched twice.
_PIECE = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[\[\]{}.,=\n]",
    re.DOTALL,
)


class TomlError(ValueError):
    """A text that cannot be parsed; `str()` says why in a clause of at most 200 characters."""

    def __init__(self, why: str) -> None:
        super().__init__(why if len(why) <= 200 else f"{why[:197]}...")


def parse_toml(content: bytes) -> dict[str, Any]:
    """The content of a TOML file. Raises `TomlError`."""
    if len(content) > MAX_BYTES:
        raise TomlError(f"it holds more than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8")
        _check_nesting(text)
        return tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TomlError(str(error)) from None
    except TomlError:
        raise
    except ValueError:  # docs.python.org/3/library/stdtypes.html#int-max-str-digits
        raise TomlError("it holds a number of too many digits") from None


def toml_bytes(file: Path) -> bytes:
    """The bytes of a file, or of one that is too long for `parse_toml`, enough to be refused.

    Raises OSError.
    """
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _check_nesting(text: str) -> None:
    depth = parts = 0
    for piece in _PIECE.finditer(text):
        mark = piece[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        parts = parts + 1 if mark == "." else parts if mark[0] in "\"'" else 0
        if depth > MAX_DEPTH:
            raise TomlError(f"line {_line(piece)} has more than {MAX_DEPTH} brackets within each other")
        if parts >= MAX_PARTS:
            raise TomlError(f"line {_line(piece)} has a key of more than {MAX_PARTS} parts")


def _line(piece: re.Match[str]) -> int:
    return piece.string.count("\n", 0, piece.start()) + 1
