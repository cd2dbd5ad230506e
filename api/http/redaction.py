"""Paths of source files, which often carry names: shown to callers with the admin scope alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsiglip.api.http.auth import Caller


def shown(answer: dict[str, Any], caller: Caller, received: Path | None = None) -> dict[str, Any]:
    """The answer as the caller may see it: files below the folder `received` are called as he called them,
    and only `admin` sees the fields `path` of others, at any depth.
    """
    found: dict[str, Any] = seen(answer, None if received is None else str(received), caller.may("admin"))
    return found


def seen(value: Any, received: str | None, with_paths: bool) -> Any:
    """The value, in which what lies below the folder `received` is named relative to it, and other fields
    `path` are left out unless `with_paths`.
    """
    if isinstance(value, list):
        return [seen(item, received, with_paths) for item in value]
    if isinstance(value, str) and received is not None:
        return value.replace(f"{received}/", "")
    if not isinstance(value, Mapping):
        return value
    kept = {name: seen(item, received, with_paths) for name, item in value.items() if name != "path"}
    if "path" in value:
        path = value["path"]
        if isinstance(path, str) and received is not None and Path(path).is_relative_to(received):
            kept["path"] = str(Path(path).relative_to(received))
        elif with_paths:
            kept["path"] = path
    return kept
