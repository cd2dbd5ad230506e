"""`evaluate drift` and `evaluate robustness`: what changes between groups of cases, and of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.cases import Level
from medsiglip.api.cli.commands.invocation import Invocation, invocation
from medsiglip.api.cli.commands.where import Where


def _page_file(file: Path | None) -> Path | None:
    """Checked before anything is measured, which may take long."""
    from medsiglip.api.archive.files import output_file

    return None if file is None else output_file(file)


Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write a page with tables and plots, too.", callback=_page_file
    ),
]


def write_page(run: Invocation, kind: str, answer: dict[str, object], file: Path | None) -> None:
    """Write the page of an answer, if a file is named."""
    if file is None:
        return
    from medsiglip.api.archive.files import write_text
    from medsiglip.api.archive.pages.evaluation_page import evaluation_page

    write_text(file, evaluation_page(kind, answer))
    run.note(f"the page is in {file}")


def drift(
    context: typer.Context,
    reference: Annotated[
        list[str],
        typer.Option("--reference", metavar="FILTER", help="A filter of the cases to compare with."),
    ],
    current: Annotated[
        list[str], typer.Option("--current", metavar="FILTER", help="A filter of the cases in question.")
    ],
    level: Annotated[Level, typer.Option(help="What one case is.")] = Level.STUDY,
    cases: Annotated[int, typer.Option(help="How many cases that stand apart to list of each.")] = 10,
    permutations: Annotated[int, typer.Option(help="Of patients, for the p-values.")] = 999,
    html: Html = None,
) -> None:
    """Ask whether two periods, sites or scanners look alike to the model, by patient.

    \b
    Example: medsiglip evaluate drift --reference "study_date<2020" --current "study_date>=2020"
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.comparisons import show_drift

    run = invocation(context)
    with run.archive() as archive:
        report = archive.evaluate_drift(
            reference, current, level=level.value, cases=cases, permutations=permutations
        )
        record_local(archive.index, "evaluate", [one.study_instance_uid for one in report.cases])
    write_page(run, "drift", report.to_json(), html)
    run.answer(report, show_drift)


def robustness(
    context: typer.Context,
    prompts: Annotated[
        str | None,
        typer.Option(metavar="SET", help="A prompt set.", autocompletion=completion.prompt_sets),
    ] = None,
    probe: Annotated[
        str | None, typer.Option(metavar="NAME", help="A probe.", autocompletion=completion.probes)
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="One of its labels; repeatable [all of them]."),
    ] = None,
    level: Annotated[
        Level | None, typer.Option(help="What one labelled row is [study, or the probe's].")
    ] = None,
    where: Where = None,
    cases: Annotated[int, typer.Option(help="At most so many labelled cases, drawn at random.")] = 200,
    html: Html = None,
) -> None:
    """Change pictures as scanners, screens and exports do, and see what their vectors and scores lose.

    \b
    Example: medsiglip evaluate robustness --prompts phantoms --label melanoma
    """
    from medsiglip.api.cli.presentation.comparisons import show_robustness
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        report = archive.evaluate_robustness(
            prompts=prompts,
            probe=probe,
            labels=labels or (),
            level=None if level is None else level.value,
            where=where or (),
            cases=cases,
            on_progress=on_progress,
        )
    write_page(run, "robustness", report.to_json(), html)
    run.answer(report, show_robustness)
