"""`probe export | import | delete | suggest`: probes that come and go, and what to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.invocation import invocation
from medsiglip.api.cli.commands.where import Where

Version = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of the probe, or NAME@2 for a version.", autocompletion=completion.probes
    ),
]


def export(
    context: typer.Context,
    name: Version,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where its two files go.", readable=False)],
) -> None:
    """Write a probe as probe.json and probe.safetensors, for another archive of the same model, or another
    program. They hold its figures and calibration, and nothing of single patients.

    \b
    Example: medsiglip probe export effusion --out effusion-probe
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.probes import show_exported

    run = invocation(context)
    with run.archive() as archive:
        exported = archive.export_probe(name, out=out)
        record_local(archive.index, "export", probe=f"{exported.name}@{exported.version}")
        run.answer(exported, show_exported)


def take_in(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `probe export` wrote, or its zip.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What it is called here; its own name if not given."),
    ] = None,
) -> None:
    """Take in a probe that `probe export` wrote. A probe of another model is refused, and so are files that
    were changed since.

    \b
    Example: medsiglip probe import effusion-probe --name effusion-of-b
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.figures import show_probe

    run = invocation(context)
    with run.archive() as archive:
        imported = archive.import_probe(folder, name=name)
        record_local(archive.index, "train", probe=f"{imported.name}@{imported.version}")
        run.answer(imported, show_probe)


def delete(context: typer.Context, name: Version) -> None:
    """Delete a probe with all its versions, or one version of it, and the predictions that it stored.

    \b
    Example: medsiglip probe delete effusion-of-b
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.probes import show_removed

    run = invocation(context)
    with run.archive() as archive:
        removed = archive.delete_probe(name)
        record_local(archive.index, "train", probe=name, removed=True)
        run.answer(removed, show_removed)


def suggest(
    context: typer.Context,
    name: Version,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many studies.")] = 20,
    where: Where = None,
) -> None:
    """List the studies most worth labelling next: half of those that the probe is least sure of, a quarter
    unlike all that is labelled, a quarter at random; one of each patient, none that is labelled.

    \b
    Example: medsiglip probe suggest effusion -n 20
    """
    from medsiglip.api.cli.presentation.probes import show_suggestions

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.suggest_cases(name, n=n, where=where or ()), show_suggestions)


def register(probe: typer.Typer) -> None:
    """Add the commands to those of `probe`."""
    probe.command("export")(export)
    probe.command("import")(take_in)
    probe.command("delete")(delete)
    probe.command("suggest")(suggest)
