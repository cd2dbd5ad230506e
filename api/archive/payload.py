"""Values of ours as plain JSON values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def plain(value: Any) -> Any:
    """Turn dataclasses, mappings, sequences, paths and numpy numbers into JSON values; NaN becomes None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(item) for item in value]


def storable(value: Any) -> Any:
    """The value as `plain` makes it, with U+FFFD for what UTF-8 or a database does not take: NUL, and the
    surrogates that stand for bytes of file names (PEP 383).
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {storable(str(name)): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    made = plain(value)
    return storable(made) if isinstance(made, list | dict | str) else made
