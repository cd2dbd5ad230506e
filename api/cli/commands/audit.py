"""`audit`: who did what to which study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


def verify(
    context: typer.Context,
    head: Annotated[
        str | None,
        typer.Option(metavar="SEQUENCE:HASH", help="A head noted earlier, which the trail must still hold."),
    ] = None,
) -> None:
    """Compute the trail's chain of hashes again; the exit code is 1 when it is broken.

    A trail whose end was cut off is whole in itself: keep the head elsewhere and give it with --head.

    \b
    Example: medsiglip audit verify
    """
    from medsiglip.api.archive.audit_trail import verify_trail
    from medsiglip.api.cli.presentation.access import show_trail_verification

    run = invocation(context)
    with run.archive() as archive:
        outcome = verify_trail(archive, head)
    run.answer(outcome, show_trail_verification)
    if not outcome["ok"]:
        raise typer.Exit(1)


def list_(
    context: typer.Context,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Only what concerns this study.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many events.")] = 50,
) -> None:
    """List the last events.

    \b
    Example: medsiglip audit list --study 1.2.840.113
    """
    from medsiglip.api.archive.audit_trail import list_trail
    from medsiglip.api.cli.presentation.access import show_trail
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive:
        uid = None if study is None else study_named(archive, study, rows=True)
        run.answer(list_trail(archive, last=last, study=uid), show_trail)


def export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A file to write: .jsonl, .csv or .parquet.", readable=False)
    ],
) -> None:
    """Write all events, with all that their hashes cover, to a file.

    \b
    Example: medsiglip audit export --out trail.jsonl
    """
    from medsiglip.api.archive.audit_trail import export_trail
    from medsiglip.api.cli.presentation.access import show_exported_trail

    run = invocation(context)
    with run.archive() as archive:
        run.answer(export_trail(archive, out), show_exported_trail)


def forward(context: typer.Context) -> None:
    """Send what waits of the trail to the receiver that audit_syslog names; a running service does so itself.

    \b
    Example: medsiglip audit forward
    """
    from medsiglip.api.archive.syslog.forwarding import forward_trail
    from medsiglip.api.cli.presentation.access import show_forwarded_trail

    run = invocation(context)
    with run.archive() as archive:
        run.answer(forward_trail(archive), show_forwarded_trail)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    audit = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The audit trail: who saw, searched, changed or exported which study.

        \b
        Example: medsiglip audit verify
                 medsiglip audit list --last 20
        """,
    )
    audit.command("verify")(verify)
    audit.command("list")(list_)
    audit.command("export")(export)
    audit.command("forward")(forward)
    app.add_typer(audit, name="audit")
