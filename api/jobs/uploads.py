"""Uploads that wait are ingested in one run.

Otherwise a sender that stores a series instance by instance has the whole series rendered again for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.received import discard_unused
from medsiglip.api.jobs.stored_results import storable

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
    others = queue.waiting_uploads.hold(run.job.key_id) if run.job.attempts == 1 else {}
    run.held = tuple(others)
    try:
        there = {job_id: folder for job_id, folder in others.items() if folder.is_dir()}
        there[run.job.id] = Path(run.parameters["received"])
        reports = archive.ingest_apart(there, on_progress=run.progress)
        for job_id in others:
            if job_id in reports:
                result = storable(reports[job_id].to_json())
                if queue.waiting_uploads.finish(job_id, result):
                    discard_unused(archive.index, queue.get(job_id))
        own = reports[run.job.id]
        if others:
            run.progress("embedding", own.files, own.files)  # not those of all
        return own.to_json()
    finally:
        run.held = ()
        if others:
            queue.waiting_uploads.keep(list(others), 0.0)
