"""`pacs pull`, `sync`, `status`, `retry`: studies of a PACS are brought in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.pacs.connections import Name

if TYPE_CHECKING:
    from medsiglip.answers.pacs import SyncReport
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.archive.opened import OnNote, OnProgress
    from medsiglip.api.archive.pacs.syncing import SyncOptions

Where = Annotated[
    list[str] | None, typer.Option(metavar="FIELD=VALUE", help="What studies must be; repeatable.")
]
Since = Annotated[str | None, typer.Option(metavar="DATE", help="First study date, as 2026-03-01.")]


def pull(
    context: typer.Context,
    name: Name,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[UID]...", help="StudyInstanceUIDs of the PACS.")
    ] = None,
    where: Where = None,
    since: Since = None,
) -> None:
    """Bring studies in from a PACS, by their UIDs or by what they must be; without either those that wait.

    Each is fetched until all is here that the PACS lists. Run again after an interruption, it goes on.

    \b
    Example: medsiglip pacs pull main 1.2.840.113619.2.1
             medsiglip pacs pull main --where modality=CT --since 2026-03-01
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.pacs.finding import MOST_FOUND, query_of, where_of
    from medsiglip.api.cli.presentation.pacs_progress import show_pull
    from medsiglip.api.cli.progress import progress_display

    asked = where_of(where or ())
    if since is not None:
        if "from_date" in asked:
            raise typer.BadParameter("give either --since or --where from_date=.")
        asked["from_date"] = since
    if studies and asked:
        raise typer.BadParameter("give either UIDs, or what studies must be.")
    query = query_of(asked, MOST_FOUND) if asked else None
    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        archive.index.pacs_connections.get(name)
        record_local(archive.index, "pacs-pull", connection=name)  # whatever ends it
        report = archive.pacs_pull(name, studies or None, query=query, on_progress=on_progress)
    run.answer(report, show_pull)


def sync(
    context: typer.Context,
    name: Name,
    since: Since = None,
    where: Where = None,
    follow: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="Begin again so long after each sync, until Ctrl-C."),
    ] = None,
) -> None:
    """Bring in what is new in a PACS, or has grown, since the last sync.

    The first one compares all, or what is dated from --since on. What was forgotten here stays away.

    \b
    Example: medsiglip pacs sync main --since 2026-03-01 --where modality=CT
             medsiglip pacs sync main --follow 300
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.pacs.finding import where_of
    from medsiglip.api.archive.pacs.syncing import SyncOptions
    from medsiglip.api.cli.presentation.pacs_progress import show_pull
    from medsiglip.api.cli.progress import progress_display

    options = SyncOptions.of(since, where_of(where or ()))
    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        archive.index.pacs_connections.get(name)
        record_local(archive.index, "pacs-sync", connection=name)  # whatever ends it
        if follow is None:
            report = archive.pacs_sync(name, options, on_progress=on_progress)
        else:
            report = _follow(archive, name, options, follow, on_progress, run.note)
    run.answer(report, show_pull)


def _follow(
    archive: Archive,
    name: str,
    options: SyncOptions,
    pause: float,
    on_progress: OnProgress,
    on_note: OnNote,
) -> SyncReport:
    """Sync again and again until Ctrl-C or SIGTERM; the report of the last. What may pass is waited for."""
    from medsiglip.answers.pacs import SyncReport
    from medsiglip.ingest.errors import InterruptedIngestError, PacsError
    from medsiglip.ingest.run.interruption import interruptible

    report = SyncReport(asked=0, here=0)
    on_note(f"following {name}: a sync begins {pause:g} s after the one before, Ctrl-C ends it")
    with interruptible():
        try:
            while True:
                wait = pause
                try:
                    report = archive.pacs_sync(name, options, on_progress=on_progress)
                    if report.asked:
                        on_note(f"studies asked for: {report.asked}, of these here: {report.here}")
                except PacsError as error:
                    if not error.may_pass:
                        raise
                    on_note(f"{error} ({error.code})")
                    wait = max(pause, error.retry_after or 0.0)
                time.sleep(wait)
        except (KeyboardInterrupt, InterruptedIngestError):
            return report


def status(
    context: typer.Context,
    name: Name,
    only: Annotated[
        str | None,
        typer.Option(
            "--status", metavar="STATUS", help="waiting, here, incomplete, failed or forgotten [all but it]."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where a list goes on, as it said.")] = None,
) -> None:
    """List the studies of a PACS that were asked for, the last changed first, and what became of them.

    \b
    Example: medsiglip pacs status main --status failed
    """
    from medsiglip.api.archive.pacs.ledger import ledger_page
    from medsiglip.api.cli.presentation.pacs_progress import show_ledger
    from medsiglip.index.pacs.study_ledger import STATUSES

    chosen = next((one for one in STATUSES if one == only), None)
    if only is not None and chosen is None:
        raise typer.BadParameter(f"give one of {', '.join(STATUSES)}.", param_hint="--status")
    run = invocation(context)
    with run.archive() as archive:
        page = ledger_page(archive, name, status=chosen, cursor=cursor, limit=limit)
        run.answer(page, show_ledger)


def retry(context: typer.Context, name: Name) -> None:
    """Let the studies of a PACS that failed, or came in part, wait again; the next pull or sync fetches them.

    \b
    Example: medsiglip pacs retry main
    """
    from medsiglip.answers.pacs import Retried
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.pacs_progress import show_retried

    run = invocation(context)
    with run.archive() as archive:
        waiting = archive.index.pacs_studies.retry(name)
        record_local(archive.index, "pacs-pull", connection=name, waiting=waiting)
        run.answer(Retried(waiting=waiting), show_retried)
