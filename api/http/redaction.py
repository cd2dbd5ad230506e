"""Redaction of the paths of source files, which often contain names: only the admin scope sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsiglip.answers.paths import shown, shown_values
from medsiglip.api.http.auth import Caller


def redact(answer: dict[str, Any], caller: Caller, received: Path | None = None) -> dict[str, Any]:
    """The answer as the caller may see it: files below the folder `received` have the names that the caller
    gave them, and only `admin` sees other fields `path`, at any depth.
    """
    found: dict[str, Any] = redact_paths(
        answer, None if received is None else str(received), caller.may("admin")
    )
    return found


def redact_paths(value: Any, received: str | None, with_paths: bool) -> Any:
    """The value, with paths below the folder `received` relative to it, and without other fields `path`
    unless `with_paths`.
    """
    received = None if received is None else shown(received)
    return _redacted(shown_values(value), received, with_paths)


def _redacted(value: Any, received: str | None, with_paths: bool) -> Any:
    if isinstance(value, list):
        return [_redacted(item, received, with_paths) for item in value]
    if isinstance(value, str) and received is not None:
        return value.replace(f"{received}/", "")
    if not isinstance(value, Mapping):
        return value
    kept = {name: _redacted(item, received, with_paths) for name, item in value.items() if name != "path"}
    if "path" in value:
        path = value["path"]
        if isinstance(path, str) and received is not None and Path(path).is_relative_to(received):
            kept["path"] = str(Path(path).relative_to(received))
        elif with_paths:
            kept["path"] = path
    return kept
