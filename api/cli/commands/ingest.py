"""`ingest`: folders of DICOM and pictures go into the archive, once or as they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medsiglip.api.cli.commands.invocation import invocation


def ingest(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders and files.", readable=False)
    ],
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="What DICOM headers would say, for plain pictures.", readable=False),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode and render [one per core].")
    ] = None,
    max_slices: Annotated[
        str, typer.Option(metavar="N|all", help="Slices of a volume that are embedded, sampled evenly.")
    ] = "85",
    magnification: Annotated[
        float, typer.Option(metavar="5|10|20", help="Magnification of slide patches.")
    ] = 10.0,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray|ray://HOST:PORT",
            help="What renders and encodes: this machine, or a Ray cluster [local].",
        ),
    ] = None,
    phi: Annotated[
        Literal["pseudonymous", "keep", "strict"] | None,
        typer.Option(help="How much of a person's data the home keeps [as it does; at first pseudonymous]."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read headers, tell what would be done, and write nothing.")
    ] = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Also write FILE.csv or FILE.html about every file; repeatable.",
            readable=False,
        ),
    ] = None,
    show_burned_in: Annotated[
        bool,
        typer.Option("--show-burned-in", help="Show in FILE.html also pictures that may name the patient."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what arrives in the folders, until Ctrl-C.")
    ] = False,
    settle: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="With --watch: how long a complete file is unchanged."),
    ] = 10.0,
) -> None:
    """Read folders of DICOM and pictures, embed every image, and add it to the archive.

    A file that cannot be used costs one line of the report. Running it again embeds only what is new.

    \b
    Example: medsiglip ingest ~/dicom
             medsiglip ingest pictures --metadata pictures.csv
             medsiglip ingest /incoming --watch --settle 30
             medsiglip ingest ~/dicom --dry-run --report what-would-go-in.html
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.archive import show_ingest
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.api.tracing.process import traced
    from medsiglip.ingest.units.plan import PlanOptions

    if watch and dry_run:
        raise typer.BadParameter("give either --watch or --dry-run.")
    for path in report or ():
        if path.suffix.lower() not in (".csv", ".html"):
            raise typer.BadParameter("FILE must end in .csv or .html.", param_hint="--report")
    run = invocation(context)
    given: dict[str, Any] = {
        "metadata": metadata,
        "workers": workers,
        "plan": PlanOptions(slice_limit(max_slices), magnification),
        "engine": engine,
        "phi": phi,
        "reports": report or (),
        "show_burned_in": show_burned_in,
    }
    with traced(run.settings(), "ingest"), run.archive() as archive, progress_display() as on_progress:
        if watch:
            run.note(f"watching; files are taken in when unchanged for {settle:g} s, Ctrl-C ends it")
            answer = archive.watch(paths, settle=settle, on_progress=on_progress, on_batch=run.note, **given)
        else:
            answer = archive.ingest(paths, dry_run=dry_run, on_progress=on_progress, **given)
        if not dry_run:
            counts = {name: answer[name] for name in ("files", "images", "embedded")}
            record_local(archive.index, "ingest", **counts)
    run.answer(answer, show_ingest)


def slice_limit(text: str) -> int | None:
    """What `--max-slices` says; None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter("give a number of slices, or all.", param_hint="--max-slices")
    return int(text)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ingest)
