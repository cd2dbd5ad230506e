"""`map`: the archive laid out in a plane, and what stands alone or twice in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.cases import Level
from medsiglip.api.cli.commands.invocation import invocation

MapLevel = Annotated[Level, typer.Option(help="What a point is.")]
Version = Annotated[int | None, typer.Option(min=1, help="An older version [the newest].")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many.")]


def make(
    context: typer.Context,
    level: MapLevel = Level.STUDY,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same map.")] = 0,
) -> None:
    """Lay out the archive in a plane, by the nearest of each case: t-SNE, about two minutes for 100,000.

    \b
    Example: medsiglip map make --level image
    """
    from medsiglip.api.cli.presentation.maps import show_map
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        made = archive.make_map(level=level.value, seed=seed, on_progress=on_progress)
    run.answer(made, show_map)


def show(
    context: typer.Context,
    level: MapLevel = Level.STUDY,
    version: Version = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the points: x, y, image_id.")
    ] = None,
) -> None:
    """How a map was made and what it is worth.

    \b
    Example: medsiglip map show
    """
    from medsiglip.api.archive.mapping.files import write_points
    from medsiglip.api.cli.presentation.maps import show_map

    run = invocation(context)
    with run.archive() as archive:
        found = archive.map(level=level.value, version=version)
        if out is not None:
            write_points(archive, out, level=level.value, version=found.version)
    run.answer(found, show_map)


def list_maps(context: typer.Context) -> None:
    """The maps that are kept, three versions of a level at most.

    \b
    Example: medsiglip map list
    """
    from medsiglip.api.cli.presentation.maps import show_maps

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.maps(), show_maps)


def place(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image_id: Annotated[int | None, typer.Option(min=1, help="A stored image, instead of a text.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="How many neighbours.")] = 10,
    level: MapLevel = Level.STUDY,
    version: Version = None,
) -> None:
    """Where a text or a stored image belongs on the map, by its nearest cases in truth.

    \b
    Example: medsiglip map place "pleural effusion"
    """
    from medsiglip.api.cli.presentation.maps import show_place

    run = invocation(context)
    with run.archive() as archive:
        found = archive.map_place(text=text, image_id=image_id, k=k, level=level.value, version=version)
    run.answer(found, show_place)


def outliers(
    context: typer.Context, limit: Limit = 20, level: MapLevel = Level.STUDY, version: Version = None
) -> None:
    """The cases that are least like all of other studies.

    \b
    Example: medsiglip map outliers -n 10
    """
    from medsiglip.api.cli.presentation.maps import show_outliers

    run = invocation(context)
    with run.archive() as archive:
        found = archive.map_outliers(limit=limit, level=level.value, version=version)
    run.answer(found, show_outliers)


def duplicates(
    context: typer.Context,
    min_cosine: Annotated[float, typer.Option(help="How alike, from 0.5 to 1.")] = 0.98,
    other_patients: Annotated[
        bool, typer.Option("--other-patients", help="Only groups of several patients.")
    ] = False,
    limit: Limit = 20,
    level: MapLevel = Level.STUDY,
    version: Version = None,
) -> None:
    """Groups of cases of several studies that are nearly the same.

    \b
    Example: medsiglip map duplicates --other-patients
    """
    from medsiglip.api.cli.presentation.maps import show_duplicates

    run = invocation(context)
    with run.archive() as archive:
        found = archive.map_duplicates(
            min_cosine=min_cosine,
            other_patients=other_patients,
            limit=limit,
            level=level.value,
            version=version,
        )
    run.answer(found, show_duplicates)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The archive as a map: what looks alike lies together.

        \b
        Example: medsiglip map make
                 medsiglip map place "pleural effusion"
        """,
    )
    for command in (make, show, place, outliers, duplicates):
        group.command()(command)
    group.command("list")(list_maps)
    app.add_typer(group, name="map")
