r"""Paths of files as text that every format holds: a byte of a name that is not UTF-8 is written `\xNN`.

Python gives such a byte as a lone surrogate (PEP 383), which JSON in UTF-8, Parquet and terminals do not
take.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def shown(text: str) -> str:
    r"""A path, or a text that names one, with `\xNN` for every byte that is not UTF-8; else unchanged.

    A surrogate that stands for no byte, which no path holds but a text may, is U+FFFD.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shown_values(value: Any) -> Any:
    """JSON values with every text as `shown` gives it, keys too."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {shown_values(name): shown_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown_values(item) for item in value]
    return value


def given(text: str) -> str:
    r"""The path that a person means by a text in which `\xNN` may stand for a byte, as `shown` writes it.

    A file that has those characters in its name comes first.
    """
    escaped = os.fsencode(text)
    if not _ESCAPED.search(escaped) or os.path.lexists(text):
        return text
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes.fromhex(found.group(1).decode()), escaped))
