"""Uploads that wait are ingested in one run.

Otherwise a sender that stores a series instance by instance has the whole series rendered again for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.received import discard_refused, discard_repeated, discard_unused
from medsiglip.api.jobs.stored_results import storable
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.received_batches import is_answered
from medsiglip.index.service.waiting_uploads import is_small_job

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.archive.ingestion import IngestedFolder
    from medsiglip.api.jobs.job_run import JobRun


def ingest_uploads(archive: Archive, run: JobRun) -> dict[str, Any]:
    """Ingest the upload of this job, and with a small one the small ones of the same sender that wait; each
    job gets the report of its own files.

    What was not ingested because the run stopped waits on. A job that is tried again is run alone, because
    another file may be what ends the worker.
    """
    others: dict[str, Path] = {}
    if run.job.attempts == 1 and is_small_job(run.job.kind, run.parameters):
        uploads = archive.index.jobs.waiting_uploads
        others = uploads.hold(run.job.key_id, answered=is_answered(run.parameters))
    run.held = tuple(others)
    try:
        there = {job_id: folder for job_id, folder in others.items() if folder.is_dir()}
        there[run.job.id] = Path(run.parameters["received"])
        ingested = archive.ingest_apart(there, on_progress=run.progress)
        own = ingested.pop(run.job.id).report
        if others:
            _finish(archive, others, ingested, keeping=is_answered(run.parameters))
            run.progress("embedding", own.files, own.files)  # not those of all
        return own.to_json()
    finally:
        run.held = ()
        if others:
            with suppress(CatalogError):  # then the hold ends by itself
                _release(archive, list(others))


def _finish(
    archive: Archive, folders: Mapping[str, Path], ingested: Mapping[str, IngestedFolder], *, keeping: bool
) -> None:
    results = {job_id: storable(one.report.to_json()) for job_id, one in ingested.items()}
    done = archive.index.jobs.waiting_uploads.finish(results)
    if keeping and archive.index.phi != "strict":
        for job_id in done:
            discard_repeated(archive.index, folders[job_id])
        return
    discard_refused(archive.index, {folders[job_id]: ingested[job_id].used for job_id in done})


def _release(archive: Archive, job_ids: Sequence[str]) -> None:
    queue = archive.index.jobs
    for job_id in queue.waiting_uploads.release(job_ids):
        discard_unused(archive.index, queue.get(job_id))
