"""`index reembed` and `index drop-space`: the spaces of an archive, of which it works in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


def reembed(
    context: typer.Context,
    to: Annotated[
        str | None, typer.Option("--to", metavar="MODEL", help="tiny, a checkpoint folder or a hub id.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Switch although files are gone; their images stay behind."),
    ] = False,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Folder of the files, for a home that keeps no paths.", readable=False
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw pictures [one for each core, at most 8].")
    ] = None,
) -> None:
    """Embed every image anew from its file with another model, then switch to it; the exit code is 1 when
    files are missing and it did not.

    Searches go on with the former model meanwhile. Without --to, renew the images that this version draws
    otherwise. Ended at any moment, the same command goes on where it was.

    \b
    Example: medsiglip index reembed --to google/medsiglip-448
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.archive import show_reembedding
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        answer = archive.reembed(
            to, allow_missing=allow_missing, sources=source or (), workers=workers, on_progress=on_progress
        )
        record_local(archive.index, "reembed", embedded=answer.embedded, switched=answer.switched)
    run.answer(answer, show_reembedding)
    if not answer.finished:
        raise typer.Exit(1)


def drop_space(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As index info names it.")],
) -> None:
    """Delete the vectors of a space that the archive does not work in any more.

    \b
    Example: medsiglip index drop-space e6b64783312d-medsiglip-eval-128
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.archive import show_dropped_space

    run = invocation(context)
    with run.archive() as archive:
        dropped = archive.drop_space(name)
        record_local(archive.index, "drop-space", space=name, images=dropped.images)
    run.answer(dropped, show_dropped_space)
