"""`report`: drafts are made, read, decided on and exported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsiglip.api.cli import completion
from medsiglip.api.cli.commands.invocation import invocation

if TYPE_CHECKING:
    from medsiglip.api.cli.commands.invocation import Invocation

DraftId = Annotated[str, typer.Argument(metavar="ID", help="The draft's id, or its beginning.")]
Revision = Annotated[int | None, typer.Option(min=1, help="Only if the draft has this revision still [any].")]


class FileFormat(StrEnum):
    """What a draft can be written as."""

    SR = "sr"
    PDF = "pdf"
    HTML = "html"
    FHIR = "fhir"
    MARKDOWN = "markdown"
    DICOM_PDF = "dicom-pdf"


class DraftStatus(StrEnum):
    """Where a draft stands."""

    DRAFT = "draft"
    EDITED = "edited"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


def draft(
    context: typer.Context,
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Study Instance UID, or its unique beginning.")
    ],
    route: Annotated[
        str | None,
        typer.Option(help="Use the generator and options of this route.", autocompletion=completion.routes),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="A generator of generators.toml [the route's, else evidence-only].")
    ] = None,
    indication: Annotated[str | None, typer.Option(help="Why the study was made.")] = None,
) -> None:
    """Draft a report of a study from its scores and from similar cases; a person decides what becomes of it.

    \b
    Example: medsiglip report draft 1.2.840.113
             medsiglip report draft 1.2.840.113 --generator medgemma --indication "dyspnoea"
    """
    from medsiglip.api.archive.audit_trail import local_actor, record_local
    from medsiglip.api.cli.presentation.drafts import show_draft
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive:
        made = archive.draft_report(
            study_named(archive, study),
            route=route,
            generator=generator,
            indication=indication,
            by=local_actor(),
        )
        record_local(archive.index, "draft", [made["study_instance_uid"]], draft=made["id"])
    run.answer(made, show_draft)


def show(context: typer.Context, draft_id: DraftId) -> None:
    """Show a draft with its evidence, its checks and its history.

    \b
    Example: medsiglip report show 0f8fad5bd9cb469fa16570867728950e
    """
    from medsiglip.api.cli.presentation.drafts import show_draft
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.report(draft_named(archive, draft_id)), show_draft)


def list_drafts(
    context: typer.Context,
    status: Annotated[DraftStatus | None, typer.Option(help="Only drafts with this status.")] = None,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help="Only those of a study: UID, its beginning, or row.")
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Only those whose text, or study's report, holds these words.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 100,
) -> None:
    """List drafts, the newest first. Accepted texts are also found by `study list --where report=words`.

    \b
    Example: medsiglip report list --status draft
             medsiglip report list --words "pleural effusion"
    """
    from medsiglip.api.cli.presentation.drafts import show_drafts
    from medsiglip.api.cli.study_names import study_named

    run = invocation(context)
    with run.archive() as archive:
        uid = None if study is None else study_named(archive, study, rows=True)
        found = archive.reports(status=status.value if status else None, study=uid, words=words, limit=limit)
    run.answer(found, show_drafts)


def accept(
    context: typer.Context,
    draft_id: DraftId,
    revision: Revision = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(metavar="CONCERN", help="A concern that you have looked at, by its id; repeatable."),
    ] = None,
    acknowledge_all: Annotated[
        bool, typer.Option("--acknowledge-all", help="All concerns that `report show` lists.")
    ] = False,
) -> None:
    """Accept a draft as it stands: it is the study's report from now on. What contradicts the scores, is left
    out or is wrong by the study must be acknowledged; on a terminal you are asked for each.

    \b
    Example: medsiglip report accept 0f8fad5bd9cb469fa16570867728950e
             medsiglip report accept 0f8fad5b --acknowledge omitted:pneumothorax
    """
    from medsiglip.api.archive.audit_trail import local_actor, record_local
    from medsiglip.api.cli.presentation.drafts import show_decision
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    with run.archive() as archive:
        draft_id = draft_named(archive, draft_id)
        shown = archive.report(draft_id)
        seen = set(acknowledge or ())
        for concern in shown["concerns"]:
            if concern["id"] not in seen and not (acknowledge_all or _is_acknowledged(run, concern)):
                break
            seen.add(concern["id"])
        done = archive.accept_report(
            draft_id, by=local_actor(), revision=revision or shown["revision"], acknowledge=seen
        )
        record_local(archive.index, "report-decide", [done["study_instance_uid"]], draft=draft_id)
    run.answer(done, show_decision)


def _is_acknowledged(run: Invocation, concern: Mapping[str, Any]) -> bool:
    """Ask a person on a terminal; nobody else can acknowledge without `--acknowledge`."""
    if run.json or not sys.stdin.isatty():
        return False
    quote = f" \u201c{concern['quote']}\u201d" if concern["quote"] else ""
    return typer.confirm(f"{concern['sentence']}{quote} Accept it so?", err=True)


def edit(
    context: typer.Context,
    draft_id: DraftId,
    text: Annotated[
        Path, typer.Option(metavar="FILE", help="The new text; - reads standard input.", allow_dash=True)
    ],
    revision: Revision = None,
) -> None:
    """Put your own text in place of a draft's; the difference is kept, and the text is checked again.

    \b
    Example: medsiglip report edit 0f8fad5bd9cb469fa16570867728950e --text corrected.txt
    """
    from medsiglip.api.archive.audit_trail import local_actor, record_local
    from medsiglip.api.cli.presentation.drafts import show_decision
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    words = _words(text)
    with run.archive() as archive:
        draft_id = draft_named(archive, draft_id)
        done = archive.edit_report(draft_id, words, by=local_actor(), revision=revision)
        record_local(archive.index, "report-decide", [done["study_instance_uid"]], draft=draft_id)
    run.answer(done, show_decision)


def _words(text: Path) -> str:
    """The text of a file, or of standard input for `-`."""
    from medsiglip.api.errors import ServiceError

    try:
        return sys.stdin.read() if str(text) == "-" else text.expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ServiceError("bad-text", "The text is not UTF-8; save it as UTF-8 and try again.") from None


def reject(
    context: typer.Context,
    draft_id: DraftId,
    reason: Annotated[str, typer.Option(help="Reason for the rejection.")],
    revision: Revision = None,
) -> None:
    """Reject a draft; it is kept with the reason.

    \b
    Example: medsiglip report reject 0f8fad5bd9cb469fa16570867728950e --reason "wrong side"
    """
    from medsiglip.api.archive.audit_trail import local_actor, record_local
    from medsiglip.api.cli.presentation.drafts import show_decision
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    with run.archive() as archive:
        draft_id = draft_named(archive, draft_id)
        done = archive.reject_report(draft_id, reason, by=local_actor(), revision=revision)
        record_local(archive.index, "report-decide", [done["study_instance_uid"]], draft=draft_id)
    run.answer(done, show_decision)


def export(
    context: typer.Context,
    draft_id: DraftId,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.", readable=False)],
    file_format: Annotated[FileFormat, typer.Option("--format", help="What to write.")] = FileFormat.MARKDOWN,
) -> None:
    """Write a draft to a file, marked as machine-drafted until a person has accepted it.

    \b
    Example: medsiglip report export 0f8fad5bd9cb469fa16570867728950e --format sr --out report.dcm
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.drafts import show_written
    from medsiglip.api.cli.study_names import draft_named

    run = invocation(context)
    with run.archive() as archive:
        draft_id = draft_named(archive, draft_id)
        written = archive.export_report(draft_id, file_format.value, out)
        record_local(archive.index, "export", [written["study_instance_uid"]], draft=draft_id)
    run.answer(written, show_written)


def import_texts(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="CSV", help="Columns study_instance_uid and report.", readable=False)
    ],
) -> None:
    """Store the report texts that came with the cases, to be searched by words and shown with similar cases.
    They are stored unchanged, so they must not contain names.

    \b
    Example: medsiglip report import reports.csv
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.labels import show_imported_labels

    run = invocation(context)
    with run.archive() as archive:
        imported = archive.import_reports(file)
        record_local(archive.index, "report-import", reports=imported["matched"])
    run.answer(imported, show_imported_labels)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    report = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""Draft reports, which a person accepts, edits or rejects.

        \b
        Example: medsiglip report draft 1.2.840.113
                 medsiglip report list --status draft
        """,
    )
    report.command()(draft)
    report.command()(show)
    report.command("list")(list_drafts)
    report.command()(accept)
    report.command()(edit)
    report.command()(reject)
    report.command()(export)
    report.command("import")(import_texts)
    app.add_typer(report, name="report")
