"""`why`: where a text fits in an image, and which places of two images are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.cases import STUDY_HELP, exactly_one, named_study
from medsiglip.api.cli.commands.invocation import Invocation, invocation


def why(
    context: typer.Context,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A picture.", readable=False)] = None,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help=f"A study of the archive: {STUDY_HELP}.")
    ] = None,
    image_id: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="A stored image, as a search names it.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Show where the image fits these words.")] = None,
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show what the image has in common with this one.", readable=False),
    ] = None,
    like_study: Annotated[
        str | None, typer.Option(metavar="UID", help="The same with a study of the archive.")
    ] = None,
    like_image_id: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="The same with a stored image.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE.png", help="Where the picture is written.", readable=False)
    ] = Path("why.png"),
    show_burned_in: Annotated[
        bool,
        typer.Option("--show-burned-in", help="Show also what may bear a name in its pixels."),
    ] = False,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure, alone, how often this model's maps find phantoms' lesions."),
    ] = False,
    phantoms: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many phantoms --measure takes.")
    ] = 120,
) -> None:
    """Show where in an image a text fits, or which places of two images the model finds alike.

    \b
    Example: medsiglip why --image chest.dcm --text "pleural effusion" --out effusion.png
             medsiglip why --image chest.dcm --like other.dcm
             medsiglip why --measure
    """
    from medsiglip.api.cli.presentation.why import show_why

    run = invocation(context)
    asked, against = (image, study, image_id), (text, like, like_study, like_image_id)
    if measure:
        if any(one is not None for one in (*asked, *against)):
            raise typer.BadParameter("--measure goes alone, with --phantoms at most")
        _measure(run, phantoms)
        return
    exactly_one("--image, --study and --image-id", *asked)
    exactly_one("--text, --like, --like-study and --like-image-id", *against)
    with run.archive() as archive:
        found = archive.why(
            image=image,
            study=named_study(archive, study, rows=True),
            image_id=image_id,
            text=text,
            like=like,
            like_study=named_study(archive, like_study, rows=True),
            like_image_id=like_image_id,
            show_burned_in=show_burned_in,
            out=out,
        )
    run.answer(found, show_why)


def _measure(run: Invocation, phantoms: int) -> None:
    from medsiglip.api.cli.presentation.why import show_measured
    from medsiglip.api.cli.progress import progress_display

    with run.archive() as archive, progress_display() as on_progress:
        measured = archive.measure_localisation(studies=phantoms, on_progress=on_progress)
    run.answer(measured, show_measured)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)
