"""A job as its caller may see it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from index.jobs import Job


def job_view(job: Job, *, with_paths: bool) -> dict[str, Any]:
    """The job as JSON. Paths often hold names, so without `with_paths` a `path` within the result is left
    out, or given relative to the folder of the upload that the job was made for.
    """
    view = job.to_json()
    if not with_paths:
        received = job.parameters.get("received")
        view["result"] = _without_paths(view["result"], received)
        if view["error"] is not None and received is not None:
            view["error"]["message"] = view["error"]["message"].replace(f"{received}/", "")
    return view


def _without_paths(value: Any, received: str | None) -> Any:
    if isinstance(value, list):
        return [_without_paths(item, received) for item in value]
    if not isinstance(value, Mapping):
        return value
    kept = {name: _without_paths(item, received) for name, item in value.items() if name != "path"}
    if isinstance(value.get("path"), str) and received is not None:
        path = PurePath(value["path"])
        if path.is_relative_to(received):
            kept["path"] = str(path.relative_to(received))
    return kept
