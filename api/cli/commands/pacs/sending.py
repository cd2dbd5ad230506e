"""`pacs send`: an accepted draft goes to a PACS."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


class DocumentFormat(StrEnum):
    """What a PACS is sent."""

    SR = "sr"
    PDF = "pdf"


def send(
    context: typer.Context,
    draft_id: Annotated[str, typer.Argument(metavar="ID", help="The draft's id, or its beginning.")],
    to: Annotated[str, typer.Option(metavar="NAME", help="The PACS, as `pacs list` names it.")],
    formats: Annotated[
        list[DocumentFormat] | None, typer.Option("--format", help="sr or pdf; repeatable [sr].")
    ] = None,
) -> None:
    """Send an accepted draft to a PACS now, as a structured report or as PDF pages of its study.

    It is filed under the name and ID that the PACS has of the patient, and is there once, however often it is
    sent.

    \b
    Example: medsiglip pacs send 0f8fad5bd9cb469fa16570867728950e --to main
             medsiglip pacs send 0f8fad5b --to main --format sr --format pdf
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.pacs import show_deliveries
    from medsiglip.api.cli.progress import progress_display
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    with run.archive() as archive, progress_display() as on_progress:
        draft_id = draft_named(archive, draft_id)
        uid = archive.report(draft_id)["study_instance_uid"]
        record_local(archive.index, "pacs-send", [uid], draft=draft_id, to=to)
        chosen = [str(one) for one in formats or [DocumentFormat.SR]]
        sent = archive.pacs_send(draft_id, to, formats=chosen, on_progress=on_progress)
    run.answer(sent, show_deliveries)
