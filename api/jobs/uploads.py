"""Uploads that wait are ingested in one run.

Otherwise a sender that stores a series instance by instance has the whole series rendered again for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.received import discard_unused

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.jobs.job_run import JobRun


def ingest_uploads(archive: Archive, run: JobRun) -> dict[str, Any]:
    """Ingest the upload of this job, and with it the small ones of the same sender that wait; each job gets
    the report of its own files.

    What was not ingested because the run stopped waits on. A job that is tried again is run alone, because
    another file may be what ends the worker.
    """
    queue = archive.index.jobs
    ids = queue.waiting_uploads.hold(run.job.key_id) if run.job.attempts == 1 else []
    run.held = tuple(ids)
    try:
        others = [queue.get(job_id) for job_id in ids]
        folders = {job.id: Path(job.parameters["received"]) for job in (run.job, *others)}
        there = {job_id: folder for job_id, folder in folders.items() if folder.is_dir()}
        there[run.job.id] = folders[run.job.id]
        reports = archive.ingest_apart(there, on_progress=run.progress)
        for job_id in ids:
            if job_id in reports and queue.waiting_uploads.finish(job_id, reports[job_id].to_json()):
                discard_unused(archive.index, queue.get(job_id))
        own = reports[run.job.id]
        if ids:
            run.progress("embedding", own.files, own.files)  # not those of all
        return own.to_json()
    finally:
        run.held = ()
        if ids:
            queue.waiting_uploads.keep(ids, 0.0)
