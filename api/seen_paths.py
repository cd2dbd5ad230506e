"""Paths of source files, which often carry names: shown to callers with the admin scope alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from api.auth import Caller


def shown(answer: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The answer as the caller may see it: without `admin` no field `path` at any depth."""
    found: dict[str, Any] = answer if caller.may("admin") else without_paths(answer)
    return found


def without_paths(value: Any, received: str | None = None) -> Any:
    """The value without its fields `path`, but for those below the folder `received`, relative to it."""
    if isinstance(value, list):
        return [without_paths(item, received) for item in value]
    if not isinstance(value, Mapping):
        return value
    kept = {name: without_paths(item, received) for name, item in value.items() if name != "path"}
    if isinstance(value.get("path"), str) and received is not None:
        path = PurePath(value["path"])
        if path.is_relative_to(received):
            kept["path"] = str(path.relative_to(received))
    return kept
