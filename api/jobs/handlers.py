"""What kinds of jobs there are: one line of `HANDLERS` for each.

A handler gets the worker's archive and the run; it calls `run.progress` or `run.check` wherever it could
stop, and its answer is the job's result. It may be called again for the same job, after a worker was lost or
an error that may pass, and must then end as if it had been called once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from medsiglip.api.archive.allowed_roots import allowed_path

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Answer, Archive
    from medsiglip.api.jobs.job_run import JobRun

    Handler = Callable[[Archive, JobRun], Answer]


def _ingest(archive: Archive, run: JobRun) -> Answer:
    """Parameters: `paths`, `metadata` (a CSV, or None) and `received` (the folder of an upload, below the
    home, or None), out of which the worker takes what the index does not use when the job has ended.
    """
    given = run.parameters
    paths, metadata, within = given["paths"], given.get("metadata"), None
    if given.get("received") is None:  # named by a client: allowed when it was asked for, but links change
        within = archive.settings.ingest_roots
        paths = [allowed_path(path, within) for path in paths]
        metadata = None if metadata is None else allowed_path(metadata, within)
    return archive.ingest(paths, metadata=metadata, within=within, on_progress=run.progress)


def _probe(archive: Archive, run: JobRun) -> Answer:
    """Parameters: `name`, `labels` or `labels_csv`, `level`, `where`."""
    given = run.parameters
    run.progress("training", 0, None)
    return archive.train_probe(
        given["name"],
        labels_csv=given.get("labels_csv"),
        labels=given.get("labels") or (),
        level=given.get("level") or "image",
        where=given.get("where") or (),
    )


def _report(archive: Archive, run: JobRun) -> Answer:
    """Parameters: `study_instance_uid`, `route`, `generator`, `options` (as in a rule), `indication`, `by`.
    The draft's id is the job's.
    """
    from medsiglip.api.archive.drafts.reports import draft_for_job

    return draft_for_job(archive, run)


HANDLERS: Mapping[str, Handler] = {
    "ingest": _ingest,
    "probe": _probe,
    "report": _report,
}
