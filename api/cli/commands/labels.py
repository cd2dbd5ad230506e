"""`label`: labels that readers give cases, how they agree, and what to label next."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.cases import STUDY_HELP
from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.where import WHERE_HELP, Where

Name = Annotated[str, typer.Argument(metavar="NAME", help="The label.")]


class QueueOrder(StrEnum):
    """What comes first in a queue."""

    UNCERTAINTY = "uncertainty"
    DIVERSITY = "diversity"
    RANDOM = "random"
    DISAGREEMENT = "disagreement"


def import_labels(
    context: typer.Context,
    csv: Annotated[Path, typer.Argument(metavar="CSV", help="Labels to store.", readable=False)],
) -> None:
    """Store labels from a CSV, keyed by path, sop_instance_uid, series_instance_uid or study_instance_uid.

    Labels stand in a column `label` (a class name) and in columns `label:<name>` (0, 1 or empty); other
    columns are left alone. In a file with neither, every other column is a label of 0, 1 or empty. They are
    given in your name; where readers divide a case evenly, the archive has no label of it.

    \b
    Example: medsiglip label import findings.csv
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.archive.labels import read_labels, store_labels, studies_to_label
    from medsiglip.api.cli.presentation.labels import show_imported_labels

    run = invocation(context)
    with run.archive() as archive:
        content = read_labels(csv)
        studies = studies_to_label(archive, content.records)
        record_local(archive.index, "label", studies, rows=content.rows)
        run.answer(store_labels(archive, csv, content), show_imported_labels)


def list_labels(context: typer.Context) -> None:
    """List the stored labels with their counts.

    \b
    Example: medsiglip label list
    """
    from medsiglip.api.cli.presentation.labels import show_labels

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.labels(), show_labels)


def undo(context: typer.Context) -> None:
    """Take back what you last gave or took back at once: one label, or a whole file; repeated, what was
    before it.

    \b
    Example: medsiglip label undo
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.labels import show_undone

    run = invocation(context)
    with run.archive() as archive:
        undone = archive.undo_labels()
        record_local(archive.index, "label", undone.studies, undone=undone.cases)
        run.answer(undone, show_undone)


def history(
    context: typer.Context,
    uid: Annotated[str, typer.Argument(metavar="UID", help=f"Study Instance UID: {STUDY_HELP}.")],
) -> None:
    """Show what each reader said of a study, its series and instances, the earliest first.

    \b
    Example: medsiglip label history 1.2.840.113
    """
    from medsiglip.api.cli.presentation.labels import show_history
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.study_labels(study_named(archive, uid, rows=True)), show_history)


def queue(
    context: typer.Context,
    name: Name,
    order: Annotated[
        QueueOrder, typer.Option(help="What comes first.", show_choices=True)
    ] = QueueOrder.UNCERTAINTY,
    n: Annotated[int, typer.Option("-n", min=1, max=200, help="How many cases.")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same gives the same order.")] = 0,
    where: Where = None,
) -> None:
    """List the cases to label next, of those that you have not labelled.

    By uncertainty: what a probe of this label, else a fit to the labels of now, is least sure of. By
    diversity: what is unlike all that is labelled. By disagreement: what readers contradict each other about.

    \b
    Example: medsiglip label queue effusion --order diversity -n 10
    """
    from medsiglip.api.archive.labelling.queue_question import QueueQuestion
    from medsiglip.api.cli.presentation.labels import show_queue

    run = invocation(context)
    with run.archive() as archive:
        question = QueueQuestion(name, order.value, seed, n, tuple(where or ()))
        found = archive.label_queue(question)
        run.answer(found, show_queue)
        run.remember_list([one.study_instance_uid for one in found.cases])


def agreement(context: typer.Context, name: Name) -> None:
    """Say how readers agree on a label: Cohen's kappa of each two, Krippendorff's alpha of all, and the
    studies that they disagree about.

    \b
    Example: medsiglip label agreement effusion
    """
    from medsiglip.api.cli.presentation.labels import show_agreement

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.label_agreement(name), show_agreement)


def curve(context: typer.Context, name: Name) -> None:
    """Say how well a label can be learned from the first 10, 20, 40 ... studies that were labelled.

    \b
    Example: medsiglip label curve effusion
    """
    from medsiglip.api.cli.presentation.labels import show_curve

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.learning_curve(name), show_curve)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    labels = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""Labels of images, series and studies, as readers give them.

        \b
        Example: medsiglip label import findings.csv
                 medsiglip label queue effusion
        """,
    )
    labels.command("import")(import_labels)
    labels.command("list")(list_labels)
    labels.command()(undo)
    labels.command()(history)
    labels.command(epilog=WHERE_HELP)(queue)
    labels.command()(agreement)
    labels.command()(curve)
    app.add_typer(labels, name="label")
