"""`pacs fetch` and `pacs release`: files that a PACS can give again."""

from __future__ import annotations

from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.pacs.connections import Name


def fetch(
    context: typer.Context,
    study: Annotated[str, typer.Argument(metavar="UID", help="A study of the archive.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="The PACS [where it last came from].")
    ] = None,
) -> None:
    """Bring the files of a study back from a PACS, so that its pictures can be drawn again.

    \b
    Example: medsiglip pacs fetch 1.2.840.113619.2.1
             medsiglip pacs fetch 1.2.840.113619.2.1 --from main
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.pacs.fetching import checked_fetch
    from medsiglip.api.cli.presentation.pacs_progress import show_fetch
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        uid = checked_fetch(archive, study_named(archive, study), source)
        record_local(archive.index, "pacs-fetch", [uid], connection=source)
        fetched = archive.pacs_fetch(uid, name=source, on_progress=on_progress)
    run.answer(fetched, show_fetch)


def release(
    context: typer.Context,
    name: Name,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[UID]...", help="Studies of the archive.")
    ] = None,
) -> None:
    """Delete files in the home that a PACS can give again: of these studies, or of all that came from it.

    The PACS is asked for each study first. Vectors, scores and small pictures stay, and `pacs fetch` brings
    the files back.

    \b
    Example: medsiglip pacs release main
             medsiglip pacs release main 1.2.840.113619.2.1
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.pacs_progress import show_release
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        named = None if not studies else [study_named(archive, one) for one in studies]
        released = archive.pacs_release(name, named, on_progress=on_progress)
        counts = {"released": released.studies, "kept": released.kept}
        record_local(archive.index, "pacs-release", named or [], connection=name, **counts)
    run.answer(released, show_release)
