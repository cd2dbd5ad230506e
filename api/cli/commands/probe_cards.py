"""`probe card | suspects`: what a colleague must know of a probe, and labels that may be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.probe_registry import Version


def card(
    context: typer.Context,
    name: Version,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write the page, with plots, here.", readable=False),
    ] = None,
) -> None:
    """Show the card of a probe: of whom it is, how it was split, what it is worth, what is unknown, and what
    it must not be used for (TRIPOD+AI, CLAIM 2024). The page names no patient and no study.

    \b
    Example: medsiglip probe card effusion --out effusion.html
    """
    from medsiglip.api.cli.presentation.probe_cards import show_card

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.probe_card(name, out=out), show_card)


def suspects(
    context: typer.Context,
    name: Version,
    n: Annotated[int, typer.Option("-n", min=1, max=500, help="How many cases.")] = 50,
) -> None:
    """List the cases whose labels look wrong to a probe that has not seen their patients, the most suspicious
    first.

    \b
    Example: medsiglip probe suspects effusion -n 10
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.probe_cards import show_suspects

    run = invocation(context)
    with run.archive() as archive:
        found = archive.probe_suspects(name, n=n)
        studies = sorted({one.study_instance_uid for one in found.suspects})
        record_local(archive.index, "list", studies, probe=name)
        run.answer(found, show_suspects)


def register(probe: typer.Typer) -> None:
    """Add the commands to those of `probe`."""
    probe.command()(card)
    probe.command()(suspects)
