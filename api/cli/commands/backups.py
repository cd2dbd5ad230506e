"""`backup`: a copy of the archive that can be made while others write to it, checked and put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsiglip.api.cli.commands.invocation import Invocation, invocation

if TYPE_CHECKING:
    from rich.console import Console

    from medsiglip.answers.service import Backup
    from medsiglip.api.archive.opened import OnProgress
    from medsiglip.api.cli.presentation.tables import Payload

_ACTIONS = ("verify", "restore")


def backup(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[verify|restore] FOLDER", help="A folder that is not there yet, or a backup."
        ),
    ],
) -> None:
    """Back the archive up into a folder, while servers, workers and ingests go on; check a backup; put one
    back.

    A backup is a whole home with its catalogue, from SQLite or PostgreSQL, and with secret.key: keep it as
    safe as the archive. `restore` makes --home from it, which must not be there yet or be empty; its
    database must be empty.

    \b
    Example: medsiglip backup /backups/monday
             medsiglip backup verify /backups/monday
             medsiglip --home ~/restored backup restore /backups/monday
    """
    from medsiglip.api.cli.progress import progress_display

    run = invocation(context)
    action, folder = _parsed(words)
    with progress_display() as on_progress:
        answer = _do(run, action, folder, on_progress)
    run.answer(answer, _show)
    if not answer.ok:
        raise typer.Exit(1)


def _parsed(words: list[str]) -> tuple[str, Path]:
    if len(words) == 2 and words[0] in _ACTIONS:
        return words[0], Path(words[1])
    if len(words) == 1 and words[0] not in _ACTIONS:
        return "make", Path(words[0])
    raise typer.BadParameter(
        "give FOLDER, verify FOLDER or restore FOLDER (./verify is a folder of that name)"
    )


def _do(run: Invocation, action: str, folder: Path, on_progress: OnProgress) -> Backup:
    from medsiglip.api.archive.upkeep.backups import back_up, restore_backup, verify_backup

    if action == "verify":
        return verify_backup(folder, on_progress=on_progress)
    with run.archive() as archive:
        if action == "restore":
            return restore_backup(archive, folder, on_progress=on_progress)
        return back_up(archive, folder, on_progress=on_progress)


def _show(console: Console, payload: Payload) -> None:
    place, size = payload.get("home") or payload["folder"], payload["bytes"] / 1e6
    held = (
        f"{payload['studies']} studies, {payload['images']} images, {payload['files']} files of {size:.1f} MB"
    )
    console.print(f"{place}: {held}, made at {payload['made_at']}", soft_wrap=True, markup=False)
    for problem in payload["problems"]:
        console.print(f"problem: {problem}", soft_wrap=True, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backup)
