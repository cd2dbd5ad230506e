"""`route`: which cases go to a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.invocation import invocation

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the route.", autocompletion=completion.routes)
]


def list_routes(context: typer.Context) -> None:
    """List the routes, the most urgent first.

    \b
    Example: medsiglip route list
    """
    from medsiglip.api.cli.presentation.drafts import show_routes

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.routes(), show_routes)


def show(context: typer.Context, name: Name) -> None:
    """Show a route and what it holds back.

    \b
    Example: medsiglip route show chest-effusion
    """
    from medsiglip.api.cli.presentation.drafts import show_route

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.route(name), show_route)


def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="Routes, a table each.", readable=False)],
) -> None:
    """Make the routes of a TOML file, or change those of the same names.

    \b
    [chest-effusion]
    modality = ["CR", "DX"]
    scores = [{ source = "prompts:chest-xray", label = "pleural-effusion", at_least = 0.8 }]
    per_day = 200
    \b
    Example: medsiglip route add routes.toml
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.drafts import show_routes

    run = invocation(context)
    with run.archive() as archive:
        added = archive.add_routes(file)
        record_local(archive.index, "route", routes=[route["name"] for route in added["routes"]])
    run.answer(added, show_routes)


def remove(context: typer.Context, name: Name) -> None:
    """Remove a route; its drafts stay.

    \b
    Example: medsiglip route remove chest-effusion
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.drafts import show_facts

    run = invocation(context)
    with run.archive() as archive:
        removed = archive.remove_route(name)
        record_local(archive.index, "route", routes=[name])
    run.answer(removed, show_facts)


def try_out(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Try the rule of this file.", readable=False)
    ] = None,
) -> None:
    """Tell which studies of the archive a route would send, and why; nothing is sent.

    \b
    Example: medsiglip route test chest-effusion
             medsiglip route test chest-effusion --file routes.toml
    """
    from medsiglip.api.archive.drafts.routing_rules import read_rule_file
    from medsiglip.api.cli.presentation.drafts import show_route_test

    run = invocation(context)
    with run.archive() as archive:
        rule = None if file is None else read_rule_file(file, name)
        run.answer(archive.test_route(name, rule=rule), show_route_test)


def evaluate(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="These routes [all].")
    ] = None,
) -> None:
    """Evaluate routes now, on all that they look at and have not sent. An ingest does so for what it brings.

    \b
    Example: medsiglip route run
    """
    from medsiglip.api.cli.presentation.drafts import show_routed

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.run_routes(names=names or None), show_routed)


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE.toml", help="Where to write them.", readable=False)],
) -> None:
    """Write all routes to a TOML file.

    \b
    Example: medsiglip route export --out routes.toml
    """
    from medsiglip.api.cli.presentation.drafts import show_facts

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.export_routes(out), show_facts)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    route = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""Routes: which cases are drafted by themselves.

        \b
        Example: medsiglip route add routes.toml
                 medsiglip route test chest-effusion
        """,
    )
    route.command("list")(list_routes)
    route.command()(show)
    route.command()(add)
    route.command()(remove)
    route.command("test")(try_out)
    route.command("run")(evaluate)
    route.command()(export)
    app.add_typer(route, name="route")
