"""`embed` and `render`: what the model makes of files, without an archive's index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.ingest import slice_limit
from medsiglip.api.cli.commands.invocation import invocation

MaxSlices = Annotated[
    str, typer.Option(metavar="N|all", help="Slices of a volume that are rendered, sampled evenly.")
]
Magnification = Annotated[float, typer.Option(metavar="5|10|20", help="Magnification of slide patches.")]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders and files.", readable=False)]


def embed(
    context: typer.Context,
    paths: Paths,
    out: Annotated[
        Path, typer.Option(metavar="FILE.parquet", help="Where the embeddings are written.", readable=False)
    ],
    max_slices: MaxSlices = "85",
    magnification: Magnification = 10.0,
) -> None:
    """Write one embedding per image as Parquet: path, sop_instance_uid, frame, embedding (float32, unit
    length).

    \b
    Example: medsiglip embed ~/dicom --out embeddings.parquet
    """
    from medsiglip.api.cli.presentation.archive import show_embedded
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.ingest.units.plan import PlanOptions

    run = invocation(context)
    plan = PlanOptions(slice_limit(max_slices), magnification)
    with run.archive() as archive, progress_display() as on_progress:
        written = archive.embed(paths, out, plan=plan, on_progress=on_progress)
    run.answer(written, show_embedded)


def render(
    context: typer.Context,
    paths: Paths,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the PNGs and images.jsonl.", readable=False)
    ],
    max_slices: MaxSlices = "85",
    magnification: Magnification = 10.0,
) -> None:
    """Render what the model sees, before resizing, as PNG files with a JSON line for each in images.jsonl.

    \b
    Example: medsiglip render ~/dicom --out rendered
    """
    from medsiglip.api.cli.presentation.archive import show_rendered
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.ingest.units.plan import PlanOptions

    run = invocation(context)
    plan = PlanOptions(slice_limit(max_slices), magnification)
    with run.archive() as archive, progress_display() as on_progress:
        rendered = archive.render(paths, out, plan=plan, on_progress=on_progress)
    run.answer(rendered, show_rendered)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    app.command()(embed)
    app.command()(render)
