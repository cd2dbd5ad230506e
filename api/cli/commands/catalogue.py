"""`index`: the archive's index, and its upkeep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.spaces import drop_space, reembed


def info(context: typer.Context) -> None:
    """Say what the archive holds.

    \b
    Example: medsiglip index info
    """
    from medsiglip.api.cli.presentation.index import show_index_info

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.index_info(), show_index_info)


def verify(
    context: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare each vector file with its checksum, and the snapshot.")
    ] = False,
) -> None:
    """Check that catalogue, vectors and search index agree; the exit code is 1 when they do not.

    \b
    Example: medsiglip index verify --deep
    """
    from medsiglip.api.cli.presentation.archive import show_verification

    run = invocation(context)
    with run.archive() as archive:
        outcome = archive.verify(deep=deep)
    run.answer(outcome, show_verification)
    if not outcome["ok"]:
        raise typer.Exit(1)


def rebuild(context: typer.Context) -> None:
    """Rebuild the search index from the stored vectors.

    \b
    Example: medsiglip index rebuild
    """
    from medsiglip.api.cli.presentation.index import show_index_info

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.rebuild(), show_index_info)


def tune(
    context: typer.Context,
    recall: Annotated[
        float, typer.Option(metavar="R", help="Part of the exact hits that answers must hold, at most 1.")
    ] = 0.999,
    apply: Annotated[bool, typer.Option("--apply", help="Keep the choice, and rebuild the index.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PNG file to draw time and recall in.", readable=False)
    ] = None,
) -> None:
    """Try ways to search on the archive's own vectors, and choose the fastest that finds enough.

    Recall is measured on stored images and on texts of the bundled prompt sets, which the trials were not
    fitted to. Exact searches stay exact whatever is chosen.

    \b
    Example: medsiglip index tune --recall 0.99 --plot tuning.png
    """
    from medsiglip.api.cli.presentation.index import show_tuning

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.tune_index(recall=recall, apply=apply, plot=plot), show_tuning)


def compact(context: typer.Context) -> None:
    """Merge small vector files, and clear away what interrupted writes left behind and the trash of last
    week.

    \b
    Example: medsiglip index compact
    """
    from medsiglip.api.cli.presentation.index import show_index_info

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.compact(), show_index_info)


def thumbnails(
    context: typer.Context,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Folder of the files, for a home that keeps no paths.", readable=False
        ),
    ] = None,
) -> None:
    """Draw the small pictures that images of earlier versions lack; an ingest makes them with its images.

    Without it, a list that shows such an image draws its picture then. Ended at any moment, the same command
    goes on where it was.

    \b
    Example: medsiglip index thumbnails
    """
    from medsiglip.api.cli.presentation.index import show_thumbnails
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        made = archive.make_thumbnails(sources=source or (), on_progress=on_progress)
    run.answer(made, show_thumbnails)


def recover(context: typer.Context) -> None:
    """Go on with a catalogue that is older than the home, such as one restored from a backup.

    Vectors that it needs are looked for in all vector files and in the trash; files that it does not know go
    to the trash, where they lie for a week. Stop every other process of the home first. What was ingested
    since the backup is not in the archive any more: ingest it again.

    \b
    Example: medsiglip index recover
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.archive import show_recovery

    run = invocation(context)
    with run.archive() as archive:
        recovered = archive.recover()
        record_local(archive.index, "recover")
        run.answer(recovered, show_recovery)


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for images.parquet.", readable=False)],
) -> None:
    """Write images.parquet: one row per image with its identifiers, metadata, labels and embedding.

    \b
    Example: medsiglip index export --out exported
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.archive import show_exported

    run = invocation(context)
    with run.archive() as archive:
        record_local(archive.index, "export")
        run.answer(archive.export(out), show_exported)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    index = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The archive's index and its upkeep.

        \b
        Example: medsiglip index info
                 medsiglip index verify
        """,
    )
    for command in (info, verify, rebuild, tune, compact, reembed, drop_space, thumbnails, recover, export):
        index.command()(command)
    app.add_typer(index, name="index")
