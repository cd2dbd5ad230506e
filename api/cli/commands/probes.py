"""`probe`: linear probes on embeddings, trained from labels and applied to pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands import probe_cards, probe_registry
from medsiglip.api.cli.commands.cases import Level, named_study
from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.where import Where

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the probe.", autocompletion=completion.probes)
]


class Pooling(StrEnum):
    """How the pictures of a series or study become one score."""

    MEAN = "mean"
    MAX = "max"


class ClassWeight(StrEnum):
    """How much the rows of a class count."""

    BALANCED = "balanced"


def train(
    context: typer.Context,
    name: Name,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Train on all label columns of this file.", readable=False),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="A stored label; repeatable.")
    ] = None,
    level: Annotated[Level, typer.Option(help="What one training row is.")] = Level.IMAGE,
    where: Where = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="The labels are classes of which each case has one.")
    ] = False,
    pooling: Annotated[
        Pooling, typer.Option(help="How the pictures of a series or study become one score.")
    ] = Pooling.MEAN,
    folds: Annotated[int, typer.Option(metavar="N", help="Folds of patients, 5 to 20.")] = 5,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="A column of the CSV, or a stored quality: train, validation and test."
        ),
    ] = None,
    class_weight: Annotated[
        ClassWeight | None, typer.Option(help="Rows of both values of a label count the same in sum.")
    ] = None,
) -> None:
    """Train logistic regression on the embeddings of labelled cases; figures are out of fold, folds split by
    patient.

    `--labels CSV` trains on the labels of the file alone, and stores them as `label import` does. `--label
    CLASS` takes the stored label as positive, and a stored 0 or another class of the same column as negative;
    what is unknown is left out and counted. With `--exclusive` the labels are classes, and a case has one of
    them. With `--split` figures are of the test part, and no patient may be in two parts.

    \b
    Example: medsiglip probe train effusion --label pleural-effusion
             medsiglip probe train findings --labels findings.csv --level study --pooling max
             medsiglip probe train kinds --labels classes.csv --exclusive --split split
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.labels import LabelFile, studies_to_label
    from medsiglip.api.archive.probes.plan import ProbePlan
    from medsiglip.api.cli.presentation.figures import show_probe
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    if (labels is None) == (not label):
        raise typer.BadParameter("give either --labels or --label")
    plan = ProbePlan(exclusive, pooling.value, folds, split, None if class_weight is None else "balanced")
    with run.archive() as archive, progress_display() as on_progress:

        def record(content: LabelFile | None) -> None:
            if content is not None:
                studies = studies_to_label(archive, content.records)
                record_local(archive.index, "label", studies, rows=content.rows, probe=name)
            record_local(archive.index, "train", probe=name)

        trained = archive.train_probe(
            name,
            labels_csv=labels,
            labels=label or (),
            level=level.value,
            where=where or (),
            plan=plan,
            on_checked=record,
            on_progress=on_progress,
        )
    run.answer(trained, show_probe)


def list_probes(
    context: typer.Context,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Not only the newest version of each.")
    ] = False,
) -> None:
    """List the trained probes, the newest version of each.

    \b
    Example: medsiglip probe list
             medsiglip probe list --all-versions
    """
    from medsiglip.api.cli.presentation.figures import show_probes

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.probes(all_versions=all_versions), show_probes)


def show(context: typer.Context, name: Name) -> None:
    """Show one probe and its figures.

    \b
    Example: medsiglip probe show effusion
    """
    from medsiglip.api.cli.presentation.figures import show_probe

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.probe(name), show_probe)


def predict(
    context: typer.Context,
    name: Name,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A picture; repeatable.", readable=False)
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="UID", help="A study of the archive.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every row of the archive.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.parquet", help="Where --all writes its table.", readable=False),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="With --all: keep the scores, for filters such as probe:NAME>0.8.")
    ] = False,
    where: Where = None,
) -> None:
    """Give the score of each label for a picture, a study, or everything in the archive.

    \b
    Example: medsiglip probe predict effusion --image chest.dcm
             medsiglip probe predict effusion --all --out predictions.parquet
             medsiglip probe predict effusion --all --store
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.figures import show_predictions

    run = invocation(context)
    if sum((bool(image), study is not None, everything)) != 1:
        raise typer.BadParameter("give exactly one of --image, --study and --all")
    if out is not None and not everything:
        raise typer.BadParameter("--out goes with --all")
    if store and not everything:
        raise typer.BadParameter("--store goes with --all")
    with run.archive() as archive:
        if everything:
            record_local(archive.index, "predict", probe=name)
            table = archive.predict_all(name, out=out, store=store, where=where or ())
            run.answer(table, show_predictions)
        else:
            prediction = archive.predict_probe(
                name, images=image or (), study=named_study(archive, study, rows=True)
            )
            run.answer(prediction, show_predictions)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    probe = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""Linear probes: your own labels.

        \b
        Example: medsiglip probe train findings --labels findings.csv
                 medsiglip probe predict findings --all --out predictions.parquet
        """,
    )
    probe.command()(train)
    probe.command("list")(list_probes)
    probe.command()(show)
    probe.command()(predict)
    probe_registry.register(probe)
    probe_cards.register(probe)
    app.add_typer(probe, name="probe")
