"""A job as its caller may see it."""

from __future__ import annotations

from typing import Any

from medsiglip.api.http.redaction import seen
from medsiglip.index.service.jobs import Job


def job_view(job: Job, *, with_paths: bool) -> dict[str, Any]:
    """The job as JSON. Files of the upload that the job was made for are called as their sender called them;
    paths of others often hold names, and without `with_paths` a `path` within the result is left out.
    """
    view, received = job.to_json(), job.parameters.get("received")
    view["result"] = seen(view["result"], received, with_paths)
    view["error"] = seen(view["error"], received, with_paths)
    return view
