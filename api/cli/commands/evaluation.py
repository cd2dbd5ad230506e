"""`evaluate`: how good retrieval, zero-shot classification and probes are on the archive's labelled cases."""

from __future__ import annotations

from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.cases import Level, list_prompt_sets
from medsiglip.api.cli.commands.evaluation_shifts import Html, drift, robustness, write_page
from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.search import Compare
from medsiglip.api.cli.commands.where import Where

Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME", help="A stored label; repeatable [all of them]."),
]

Spaces = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--spaces",
        metavar="A B",
        help="Compare two of the home's spaces on the same cases; `index info` lists them.",
    ),
]


def retrieval(
    context: typer.Context,
    labels: Labels = None,
    level: Annotated[Level, typer.Option(help="What a query and a hit stand for.")] = Level.IMAGE,
    where: Where = None,
    compare: Annotated[
        Compare | None, typer.Option(help="By means, or studies image by image [studies: sets].")
    ] = None,
    spaces: Spaces = None,
    html: Html = None,
) -> None:
    """Ask each labelled case for its neighbours among other patients, and count those that share its label.

    \b
    Example: medsiglip evaluate retrieval --label pneumothorax --level study
    """
    from medsiglip.api.cli.presentation.comparisons import show_comparison
    from medsiglip.api.cli.presentation.figures import show_retrieval

    run = invocation(context)
    by = None if compare is None else compare.value
    if spaces is not None:
        with run.archive() as archive:
            found = archive.compare_retrieval(
                spaces, labels=labels or (), level=level.value, where=where or (), compare=by
            )
        write_page(run, "comparison", found.to_json(), html)
        run.answer(found, show_comparison)
        return
    with run.archive() as archive:
        figures = archive.evaluate_retrieval(
            labels=labels or (), level=level.value, where=where or (), compare=by
        )
    write_page(run, "retrieval", figures.to_json(), html)
    run.answer(figures, show_retrieval)


def zero_shot(
    context: typer.Context,
    prompts: Annotated[
        str,
        typer.Option(
            metavar="SET",
            help="A bundled prompt set, or a TOML file; `list` lists them.",
            autocompletion=completion.prompt_sets,
        ),
    ],
    labels: Labels = None,
    level: Annotated[Level, typer.Option(help="What one labelled row is.")] = Level.STUDY,
    where: Where = None,
    spaces: Spaces = None,
    html: Html = None,
) -> None:
    """Compare zero-shot scores with the stored labels of the same names.

    \b
    Example: medsiglip evaluate zero-shot --prompts chest-xray --where modality=CR
    """
    from medsiglip.api.cli.presentation.comparisons import show_comparison
    from medsiglip.api.cli.presentation.figures import show_label_figures

    run = invocation(context)
    if prompts == completion.LIST:
        list_prompt_sets(run)
        return
    if spaces is not None:
        with run.archive() as archive:
            found = archive.compare_zero_shot(
                spaces, prompts, labels=labels or (), level=level.value, where=where or ()
            )
        write_page(run, "comparison", found.to_json(), html)
        run.answer(found, show_comparison)
        return
    with run.archive() as archive:
        figures = archive.evaluate_zero_shot(
            prompts, labels=labels or (), level=level.value, where=where or ()
        )
    write_page(run, "zero-shot", figures.to_json(), html)
    run.answer(figures, show_label_figures)


def probe(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the probe.", autocompletion=completion.probes)
    ],
    where: Where = None,
    spaces: Spaces = None,
    html: Html = None,
) -> None:
    """Compare a probe's scores with the stored labels, on patients that it was not trained on.

    \b
    Example: medsiglip evaluate probe effusion --where quality.split=test
    """
    from medsiglip.api.cli.presentation.comparisons import show_comparison
    from medsiglip.api.cli.presentation.figures import show_label_figures

    run = invocation(context)
    if spaces is not None:
        with run.archive() as archive:
            found = archive.compare_probe(spaces, name, where=where or ())
        write_page(run, "comparison", found.to_json(), html)
        run.answer(found, show_comparison)
        return
    with run.archive() as archive:
        figures = archive.evaluate_probe(name, where=where or ())
    write_page(run, "probe", figures.to_json(), html)
    run.answer(figures, show_label_figures)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    evaluate = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""Figures on labelled cases.

        \b
        Example: medsiglip evaluate retrieval --level study
                 medsiglip evaluate zero-shot --prompts chest-xray
        """,
    )
    evaluate.command()(retrieval)
    evaluate.command("zero-shot")(zero_shot)
    evaluate.command()(probe)
    evaluate.command()(drift)
    evaluate.command()(robustness)
    app.add_typer(evaluate, name="evaluate")
