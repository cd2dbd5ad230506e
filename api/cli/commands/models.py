"""`demo`, `tune` and `doctor`: see it work, tune the model, and check the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


def demo(
    context: typer.Context,
    studies: Annotated[int, typer.Option(min=48, help="How many synthetic studies are made.")] = 240,
) -> None:
    """Write synthetic studies as DICOM, ingest them, and show classification, retrieval and a probe on them.

    Everything goes into ./demo-output, or into --home when it is given; an earlier demo there is replaced.

    \b
    Example: medsiglip demo
             medsiglip --home /tmp/demo demo --studies 120
    """
    from medsiglip.api.cli.demo import DemoRequest, run_demo
    from medsiglip.api.cli.presentation.demo import show_demo
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    home = (run.home or Path("demo-output")).expanduser().absolute()
    settings = run.settings().model_copy(
        update={"home": home, "database_url": None, "database_password_file": None}
    )
    with progress_display() as on_progress:
        outcome = run_demo(DemoRequest(settings, studies), on_note=run.note, on_progress=on_progress)
    run.answer(outcome, show_demo)


def tune(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder with metadata.csv: path, caption, split.", readable=False),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the tuned checkpoint.", readable=False)
    ],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pictures.")] = 10,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs per step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Highest step size.")] = 1e-5,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same weights.")] = 0,
) -> None:
    """Tune the chosen --model contrastively on pictures and captions, and plot its validation curve.

    \b
    Example: medsiglip --model google/medsiglip-448 tune --data pairs --out tuned
    """
    from medsiglip.api.archive.tuning import TuneRequest, tune_checkpoint
    from medsiglip.api.cli.presentation.archive import show_tuned
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    request = TuneRequest(data, out, epochs, batch_size, learning_rate, seed)
    with progress_display() as on_progress:
        report = tune_checkpoint(run.settings(), request, on_progress=on_progress, on_note=run.note)
    run.answer(report, show_tuned)


def doctor(context: typer.Context) -> None:
    """Check decoders, device, search library, model and settings; the exit code is 1 when something is
    missing.

    \b
    Example: medsiglip doctor
    """
    from medsiglip.api.cli.doctor import examine
    from medsiglip.api.cli.presentation.archive import show_diagnosis

    run = invocation(context)
    diagnosis = examine(run.settings())
    run.answer(diagnosis, show_diagnosis)
    if not diagnosis["ok"]:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    app.command()(demo)
    app.command()(tune)
    app.command()(doctor)
