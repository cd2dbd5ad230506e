"""The kinds of jobs: one line of `HANDLERS` for each.

A handler gets the worker's archive and the run. It calls `run.progress` or `run.check` wherever it can stop,
and returns the job's result. It may be called again for the same job, after a worker was lost or after a
temporary error, and must then end as if it had been called once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.files import allowed_path

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.jobs.job_run import JobRun

    Handler = Callable[[Archive, JobRun], "Json"]

Json = dict[str, Any]


def _ingest(archive: Archive, run: JobRun) -> Json:
    """Parameters: `paths`, `metadata` (a CSV, or None), `files` (how many, where they are known to be few)
    and `received` (the folder of an upload, below the home, or None), from which the worker removes the files
    that the index does not use when the job has ended. With `dry_run` nothing is stored. `engine` is `local`,
    or that of the settings, which is all that a client chooses; what was received stays on this machine.
    """
    from medsiglip.api.jobs.uploads import ingest_uploads

    given = run.parameters
    paths, metadata, within = given["paths"], given.get("metadata"), None
    dry_run = bool(given.get("dry_run"))
    if paths == [given.get("received")] and metadata is None and not dry_run:
        return ingest_uploads(archive, run)
    engine = "local" if given.get("engine") == "local" or given.get("received") is not None else None
    if given.get("received") is None:  # paths of a client are checked again: links may have changed
        within = archive.settings.ingest_roots
        paths = [allowed_path(path, within) for path in paths]
        metadata = None if metadata is None else allowed_path(metadata, within)
    report = archive.ingest(
        paths,
        metadata=metadata,
        engine=engine,
        dry_run=dry_run,
        within=within,
        on_progress=run.progress,
    )
    return report.to_json()


def _probe(archive: Archive, run: JobRun) -> Json:
    """Parameters: `name`, `labels` or `labels_csv` with its `reader`, `level`, `where`, and those of a
    `ProbePlan`.
    """
    from medsiglip.api.archive.probes.plan import ProbePlan

    given = run.parameters
    asked = {one.name: given[one.name] for one in fields(ProbePlan) if given.get(one.name) is not None}
    probe = archive.train_probe(
        given["name"],
        labels_csv=given.get("labels_csv"),
        labels=given.get("labels") or (),
        level=given.get("level") or "image",
        where=given.get("where") or (),
        plan=ProbePlan(**asked),
        reader=given.get("reader"),
        on_progress=run.progress,
    )
    return probe.to_json()


def _predictions(archive: Archive, run: JobRun) -> Json:
    """Parameters: `name` and `where`. What is stored twice is stored once."""
    given = run.parameters
    where = given.get("where") or ()
    stored = archive.predict_all(given["name"], store=True, where=where, on_progress=run.progress)
    return stored.to_json()


def _calibration(archive: Archive, run: JobRun) -> Json:
    """Parameters: those of `calibrate`, of which `prompts` is a bundled set."""
    given = run.parameters
    made = archive.calibrate(
        prompts=given.get("prompts"),
        probe=given.get("probe"),
        labels=given.get("labels") or (),
        level=given.get("level"),
        where=given.get("where") or (),
        method=given.get("method") or "auto",
        error=given.get("error") or 0.1,
        on_progress=run.progress,
    )
    return made.to_json()


def _map(archive: Archive, run: JobRun) -> Json:
    """Parameters: `level` and `seed`. One that is made twice is the next version."""
    given = run.parameters
    level, seed = given.get("level") or "study", given.get("seed") or 0
    return archive.make_map(level=level, seed=seed, on_progress=run.progress).to_json()


def _report(archive: Archive, run: JobRun) -> Json:
    """Parameters: `study_instance_uid`, `route`, `generator`, `options` (as in a rule), `indication`, `by`.
    The draft's id is the job's.
    """
    from medsiglip.api.archive.drafts.reports import ReportRequest, make_draft
    from medsiglip.medgemma.errors import DraftError

    given = run.parameters
    route = given.get("route")
    request = ReportRequest(
        study=given["study_instance_uid"],
        route=route,
        generator=given.get("generator"),
        options=given.get("options"),
        indication=given.get("indication"),
        by=given.get("by") or (f"route:{route}" if route else "worker"),
        draft_id=run.job.id,
    )
    try:
        draft = make_draft(archive, request, lambda: run.stopped_by is not None, run.progress)
    except DraftError:
        run.check()  # raises if the job was cancelled
        raise
    return {"id": draft.id, "status": draft.status, "study_instance_uid": draft.study_instance_uid}


def _reembed(archive: Archive, run: JobRun) -> Json:
    """Parameters: `to` (a model, or None) and `allow_missing`."""
    given = run.parameters
    report = archive.reembed(
        given.get("to"), allow_missing=bool(given.get("allow_missing")), on_progress=run.progress
    )
    return report.to_json()


def _evaluation(archive: Archive, run: JobRun) -> Json:
    """Parameters: `kind`, and the fields of `EvaluationOrder` that go with it."""
    from medsiglip.api.archive.evaluating.ordered import FIELDS, evaluate_ordered

    given = run.parameters
    run.progress("evaluating", 0, None)
    fields = {name: given.get(name) for name in FIELDS}
    return evaluate_ordered(archive, given["kind"], fields, run.progress)


def _pacs_send(archive: Archive, run: JobRun) -> Json:
    """Parameters: `draft_id`, `to` (a connection) and `formats`; and the `study_instance_uid`, so that the
    job goes with it. What the PACS holds already is not sent again.
    """
    from medsiglip.api.archive.pacs.delivering import Patience
    from medsiglip.api.jobs.patience import tries_again

    given = run.parameters
    patience = Patience(lambda error: tries_again(run.job, error), check=run.check)
    sent = archive.pacs_send(
        given["draft_id"],
        given["to"],
        formats=given["formats"],
        on_progress=run.progress,
        patience=patience,
    )
    return sent.to_json()


def _webhook(archive: Archive, run: JobRun) -> Json:
    """Parameters: `event`, `at`, `cases`, and what it is about."""
    from medsiglip.api.archive.webhooks import post_announcement

    return post_announcement(archive.settings, run.job.id, run.parameters)


def _pacs_pull(archive: Archive, run: JobRun) -> Json:
    """Parameters: `connection`, `study_instance_uids` as the home has them, of studies that wait, and
    whether they were `announced` by the PACS, without anybody who asks for them.
    """
    from medsiglip.api.archive.pacs.pulling import AT_ONCE, pull_asked

    given = run.parameters
    report = pull_asked(
        archive,
        given["connection"],
        given["study_instance_uids"],
        purpose="waiting" if given.get("announced") else "pull",
        patience=AT_ONCE,
        on_progress=run.progress,
    )
    return report.to_json()


def _pacs_sync(archive: Archive, run: JobRun) -> Json:
    """Parameters: `connection`, `since` (a study date, or None) and `where` (fields of a query, or None)."""
    from medsiglip.api.archive.pacs.pulling import AT_ONCE
    from medsiglip.api.archive.pacs.syncing import SyncOptions

    given = run.parameters
    options = SyncOptions.of(given.get("since"), given.get("where"), patience=AT_ONCE)
    return archive.pacs_sync(given["connection"], options, on_progress=run.progress).to_json()


def _pacs_fetch(archive: Archive, run: JobRun) -> Json:
    """Parameters: `study_instance_uid` as the home has it, and `connection`, or None."""
    from medsiglip.api.archive.pacs.pulling import AT_ONCE

    given = run.parameters
    fetched = archive.pacs_fetch(
        given["study_instance_uid"], name=given["connection"], patience=AT_ONCE, on_progress=run.progress
    )
    return fetched.to_json()


def _pacs_release(archive: Archive, run: JobRun) -> Json:
    """Parameters: `connection` and `study_instance_uids`, or None; without a connection what was fetched and
    not asked for since.
    """
    from medsiglip.api.archive.pacs.fetching import release_fetched

    name = run.parameters["connection"]
    if name is None:
        return release_fetched(archive, archive.settings.fetched_seconds, check=run.check).to_json()
    uids = run.parameters["study_instance_uids"]
    return archive.pacs_release(name, uids, on_progress=run.progress).to_json()


HANDLERS: Mapping[str, Handler] = {
    "ingest": _ingest,
    "probe": _probe,
    "predictions": _predictions,
    "calibration": _calibration,
    "map": _map,
    "evaluation": _evaluation,
    "report": _report,
    "reembed": _reembed,
    "pacs-fetch": _pacs_fetch,
    "pacs-pull": _pacs_pull,
    "pacs-release": _pacs_release,
    "pacs-send": _pacs_send,
    "pacs-sync": _pacs_sync,
    "webhook": _webhook,
}
