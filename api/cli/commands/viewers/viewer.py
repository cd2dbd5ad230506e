"""`viewer`: OHIF is added to a home, listed and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.tgz", help="What `npm pack @ohif/app` makes.")],
    whole: Annotated[
        bool, typer.Option("--whole", help="Also its segmentation models and viewer of slides: 160 MB.")
    ] = False,
) -> None:
    """Add the OHIF viewer to the home: the service shows it at /ohif/.

    An earlier one is replaced. Nothing is fetched: make the archive by `npm pack @ohif/app@3.12.10` where
    there is a network.

    \b
    Example: medsiglip viewer add ohif-app-3.12.10.tgz
    """
    from medsiglip.api.archive.viewers.installed import add_viewer
    from medsiglip.api.cli.presentation.viewers import show_viewer

    run = invocation(context)
    with run.archive() as archive:
        run.answer(add_viewer(archive, file, whole=whole), show_viewer)


def list_(context: typer.Context) -> None:
    """List the viewers of the home.

    \b
    Example: medsiglip viewer list
    """
    from medsiglip.api.archive.viewers.installed import list_viewers
    from medsiglip.api.cli.presentation.viewers import show_viewers

    run = invocation(context)
    with run.archive() as archive:
        run.answer(list_viewers(archive), show_viewers)


def remove(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="ohif")]) -> None:
    """Remove a viewer from the home.

    \b
    Example: medsiglip viewer remove ohif
    """
    from medsiglip.api.archive.viewers.installed import remove_viewer
    from medsiglip.api.cli.presentation.viewers import show_removed_viewer

    run = invocation(context)
    with run.archive() as archive:
        run.answer(remove_viewer(archive, name), show_removed_viewer)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    viewer = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The OHIF viewer beside the screen.

        \b
        Example: medsiglip viewer add ohif-app-3.12.10.tgz
                 medsiglip viewer list
        """,
    )
    viewer.command("add")(add)
    viewer.command("list")(list_)
    viewer.command("remove")(remove)
    app.add_typer(viewer, name="viewer")
