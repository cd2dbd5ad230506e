"""`calibrate`: what scores are worth, from labelled cases; and the calibrations that are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.cases import Level, list_prompt_sets
from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.where import WHERE_HELP, Where

Subject = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="prompts:NAME, labels or probe:NAME; `list` shows them.")
]


_DEFAULT_ERROR = 0.1


class Method(StrEnum):
    """How scores become probabilities."""

    AUTO = "auto"
    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"
    VECTOR = "vector"


def calibrate(
    context: typer.Context,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help="A bundled prompt set, or a TOML file; `list` lists them.",
            autocompletion=completion.prompt_sets,
        ),
    ] = None,
    probe: Annotated[
        str | None, typer.Option(metavar="NAME", help="A probe.", autocompletion=completion.probes)
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="TEXT",
            help="A label of the set or probe, or, without one, a free label; repeatable [all of the set].",
        ),
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(help="What one case is [study; of a probe what it was trained on]."),
    ] = None,
    where: Where = None,
    method: Annotated[
        Method, typer.Option(help="How; isotonic takes 500 patients, vector is for classes.")
    ] = Method.AUTO,
    error: Annotated[
        float, typer.Option(help="Error bound of answers: .01, .02, .05, .1, .15, .2, .25 or .3.")
    ] = _DEFAULT_ERROR,
) -> None:
    """Make probabilities of scores, and answers that hold at an error bound, from labelled cases.

    The truth of a label is the stored label of its name. It takes 20 patients with the label and 20 without.

    \b
    Example: medsiglip calibrate --prompts chest-xray --where modality=CR
             medsiglip calibrate --label "pleural effusion" --error 0.05
             medsiglip calibrate list
             medsiglip calibrate show prompts:chest-xray
    """
    from medsiglip.api.cli.presentation.calibrations import show_calibration
    from medsiglip.api.cli.progress import progress_display

    given = any(one is not None for one in (prompts, probe, labels, level, where))
    if context.invoked_subcommand is not None:
        if given or method != Method.AUTO or error != _DEFAULT_ERROR:
            raise typer.BadParameter(f"{context.invoked_subcommand} goes without these options.")
        return
    run = invocation(context)
    if prompts == completion.LIST:
        list_prompt_sets(run)
        return
    with run.archive() as archive, progress_display() as on_progress:
        made = archive.calibrate(
            prompts=prompts,
            probe=probe,
            labels=labels or (),
            level=None if level is None else level.value,
            where=where or (),
            method=method.value,
            error=error,
            on_progress=on_progress,
        )
    run.answer(made, show_calibration)


AllVersions = Annotated[bool, typer.Option("--all-versions", help="Older versions, too.")]


def list_calibrations(context: typer.Context, all_versions: AllVersions = False) -> None:
    """The calibrations of the archive.

    \b
    Example: medsiglip calibrate list
    """
    from medsiglip.api.cli.presentation.calibrations import show_calibrations

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.calibrations(all_versions=all_versions), show_calibrations)


def show(context: typer.Context, subject: Subject, all_versions: AllVersions = False) -> None:
    """The calibrations of one subject, with their figures.

    \b
    Example: medsiglip calibrate show prompts:chest-xray
    """
    from medsiglip.api.cli.presentation.calibrations import show_calibrations

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.calibration(subject, all_versions=all_versions), show_calibrations)


def remove(
    context: typer.Context,
    subject: Subject,
    level: Annotated[Level | None, typer.Option(help="Only those of this level [all of them].")] = None,
) -> None:
    """Remove the calibrations of one subject, with all versions.

    \b
    Example: medsiglip calibrate remove prompts:chest-xray
    """
    from medsiglip.api.cli.presentation.calibrations import show_removed

    run = invocation(context)
    with run.archive() as archive:
        removed = archive.remove_calibration(subject, level=None if level is None else level.value)
    run.answer(removed, show_removed)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback(epilog=WHERE_HELP)(calibrate)
    group.command("list")(list_calibrations)
    group.command("show")(show)
    group.command("remove")(remove)
    app.add_typer(group, name="calibrate")
