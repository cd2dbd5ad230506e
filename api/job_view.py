"""A job as its caller may see it."""

from __future__ import annotations

from typing import Any

from api.seen_paths import without_paths
from index.jobs import Job


def job_view(job: Job, *, with_paths: bool) -> dict[str, Any]:
    """The job as JSON. Paths often hold names, so without `with_paths` a `path` within the result is left
    out, or given relative to the folder of the upload that the job was made for.
    """
    view = job.to_json()
    if not with_paths:
        received = job.parameters.get("received")
        view["result"] = without_paths(view["result"], received)
        if view["error"] is not None and received is not None:
            view["error"]["message"] = view["error"]["message"].replace(f"{received}/", "")
    return view
