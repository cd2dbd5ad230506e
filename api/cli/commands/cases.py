"""`classify`, `study` and `forget`: cases are looked at, and leave."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.invocation import Invocation, invocation
from medsiglip.api.cli.commands.where import WHERE_HELP, Where

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive

STUDY_HELP = "whole, its unique beginning, or the row of the last list"


class Level(StrEnum):
    """What a hit stands for."""

    IMAGE = "image"
    SERIES = "series"
    STUDY = "study"


class Scoring(StrEnum):
    """How scores are made."""

    PROTOCOL = "protocol"
    SIGMOID = "sigmoid"


def classify(
    context: typer.Context,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A picture; repeatable.", readable=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help=f"A study of the archive: {STUDY_HELP}.")
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar='"a,b,c"', help="Your own labels.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A label that may hold a comma; repeatable.")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help="A bundled prompt set, or the path of a TOML file; `list` lists them.",
            autocompletion=completion.prompt_sets,
        ),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="One of your labels is right and the others are not.")
    ] = False,
    scoring: Annotated[
        Scoring, typer.Option(help="The published protocol, or the model's own sigmoid.")
    ] = Scoring.PROTOCOL,
    by_image: Annotated[
        bool, typer.Option("--by-image", help="The scores of each image of the study, too, with --json.")
    ] = False,
) -> None:
    """Score a picture or a study against labels, from their words alone.

    \b
    Example: medsiglip classify --image chest.dcm --labels "pneumothorax,no pleural effusion"
             medsiglip classify --image scan.png --labels "CT,MRI,radiograph" --exclusive
             medsiglip classify --study 1.2.840.113 --prompts chest-xray
             medsiglip classify --prompts list
    """
    from medsiglip.api.cli.presentation.scores import show_classification

    run = invocation(context)
    if prompts == completion.LIST:
        list_prompt_sets(run)
        return
    exactly_one("--image and --study", image or None, study)
    exactly_one("--labels, --label and --prompts", labels, label or None, prompts)
    if exclusive and prompts is not None:
        raise typer.BadParameter("--exclusive goes with your own labels; a prompt set says it itself")
    words = label or (None if labels is None else [one.strip() for one in labels.split(",")])
    with run.archive() as archive:
        scored = archive.classify(
            images=image or (),
            study=named_study(archive, study, rows=True),
            labels=words,
            prompts=prompts,
            exclusive=exclusive,
            scoring=scoring.value,
            by_image=by_image,
        )
    run.answer(scored, show_classification)


def list_studies(context: typer.Context, where: Where = None) -> None:
    """List the studies of the archive.

    \b
    Example: medsiglip study list --where modality=CT
    """
    from medsiglip.api.cli.presentation.archive import show_studies

    run = invocation(context)
    with run.archive() as archive:
        found = archive.studies(where or ())
        run.answer(found, show_studies)
        run.remember_list([one["study_instance_uid"] for one in found["studies"]])


def show_study_command(
    context: typer.Context,
    uid: Annotated[str, typer.Argument(metavar="UID", help=f"Study Instance UID: {STUDY_HELP}.")],
) -> None:
    """Show one study with its series and images.

    \b
    Example: medsiglip study show 1.2.840.113
    """
    from medsiglip.api.cli.presentation.archive import show_study
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.study(study_named(archive, uid, rows=True), identity=True), show_study)


def forget(
    context: typer.Context,
    patient: Annotated[str | None, typer.Option(metavar="KEY", help="The patient's key.")] = None,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help="One study: its UID, or the unique beginning of it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a patient or a study: rows, vectors and index entries. The source files stay where they are.

    \b
    Example: medsiglip forget --study 1.2.840.113 --yes
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.queries import studies_to_forget
    from medsiglip.api.cli.presentation.archive import show_forgotten

    run = invocation(context)
    exactly_one("--patient and --study", patient, study)
    with run.archive() as archive:
        study = named_study(archive, study)
        if not yes and not run.json and sys.stdin.isatty():
            what = f"patient {patient}" if patient else f"study {study}"
            typer.confirm(f"Remove {what} from the archive at {archive.home}?", abort=True, err=True)
        studies = studies_to_forget(archive, patient=patient, study=study)
        # A word that is no patient's key may be a name, so it is not recorded.
        record_local(
            archive.index, "forget", studies, **({"patient_key": patient} if studies and patient else {})
        )
        run.answer(archive.forget(patient=patient, study=study), show_forgotten)


def named_study(archive: Archive, study: str | None, *, rows: bool = False) -> str | None:
    """The study that an option names, if it was given."""
    from medsiglip.api.cli.study_names import study_named

    return None if study is None else study_named(archive, study, rows=rows)


def list_prompt_sets(run: Invocation) -> None:
    """Answer with the bundled prompt sets."""
    from medsiglip.api.archive.scores import prompt_sets
    from medsiglip.api.cli.presentation.scores import show_prompt_sets

    run.answer(prompt_sets.list_prompt_sets(), show_prompt_sets)


def exactly_one(names: str, *values: object) -> None:
    """Refuse none or several of the options that are called by `names`."""
    if sum(value is not None for value in values) != 1:
        raise typer.BadParameter(f"give exactly one of {names}")


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    app.command()(classify)
    studies = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The studies of the archive.

        \b
        Example: medsiglip study list --where modality=CT
                 medsiglip study show 1.2.840.113
        """,
    )
    studies.command("list", epilog=WHERE_HELP)(list_studies)
    studies.command("show")(show_study_command)
    app.add_typer(studies, name="study")
    app.command()(forget)
