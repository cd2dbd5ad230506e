"""`/v1/reports`: drafts are ordered, read, decided on and exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from medsiglip.answers.jobs import Job
from medsiglip.answers.reports import (
    Report,
    ReportFormat,
    ReportList,
    ReportStatus,
    ReviewedText,
    Verdict,
)
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import Reader, Reporter, ServedArchive
from medsiglip.api.http.schemas import (
    Acceptance,
    Cursor,
    Edit,
    Rejection,
    ReportOrder,
    Review,
    SentenceChoice,
)

if TYPE_CHECKING:
    from medsiglip.api.archive.drafts.reports import Decided

router = APIRouter(prefix="/v1/reports", tags=["reports"])
_FILES: dict[str, Any] = {
    "text/markdown": {"schema": {"type": "string"}},
    "text/html": {"schema": {"type": "string"}},
    "application/fhir+json": {"schema": {"type": "object"}},
    **{
        f"application/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("dicom", "pdf")
    },
}


@router.post("", status_code=202, response_model=Job)
def order_report(
    request: Request,
    response: Response,
    archive: ServedArchive,
    order: ReportOrder,
    caller: Reporter,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Draft a report; the job's result names the draft, whose id is the job's."""
    from medsiglip.api.archive.drafts.generators import generator_named
    from medsiglip.api.archive.drafts.reports import ReportRequest, chosen_generator
    from medsiglip.api.archive.queries import stored_study_uid
    from medsiglip.medgemma.routing.router import JOB_KIND

    uid = stored_study_uid(archive, order.study_instance_uid)
    archive.index.study(uid)
    report_request = ReportRequest(uid, order.route, order.generator, order.options)
    name, options = chosen_generator(archive, report_request)
    generator_named(archive.settings, name)
    parameters = {
        "study_instance_uid": uid,
        "route": order.route,
        "generator": name,
        "options": options.to_json(),
        "indication": order.indication,
        "by": caller.key_id,
    }
    auditing.record(request, "draft", [uid])
    job = submit(request, caller, JOB_KIND, parameters, Submission(idempotency_key, order))
    return accepted(job, caller, response)


@router.get("")
def list_reports(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    status: ReportStatus | None = None,
    study_instance_uid: Annotated[str | None, Query(max_length=64)] = None,
    route: Annotated[str | None, Query(max_length=64)] = None,
    words: Annotated[str | None, Query(max_length=200)] = None,
    verdict: Annotated[Verdict | None, Query(description="one that a check of a sentence has")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ReportList:
    """The newest drafts; `words` are looked for in their texts and in the reports of their studies."""
    found = archive.reports(
        status=status,
        study=study_instance_uid,
        route=route,
        words=words,
        verdict=verdict,
        cursor=cursor,
        limit=limit,
    )
    auditing.record(request, "report-view", [one.study_instance_uid for one in found.reports])
    return found


@router.get("/{draft_id}")
def get_report(request: Request, archive: ServedArchive, draft_id: str, caller: Reader) -> Report:
    """One draft."""
    found = archive.report(draft_id)
    auditing.record(request, "report-view", [found.study_instance_uid], draft=draft_id)
    return found


@router.post("/{draft_id}/review")
def review_report(
    request: Request, archive: ServedArchive, draft_id: str, caller: Reporter, asked: Review
) -> ReviewedText:
    """What accepting would make of a draft after decisions about its sentences, and what it would still ask;
    nothing is stored.
    """
    found = archive.report(draft_id)
    auditing.record_part(request, [found.study_instance_uid], "report-view")
    return archive.review_report(draft_id, _decided(asked.sentences), revision=asked.revision)


@router.post("/{draft_id}/accept")
def accept_report(
    request: Request,
    archive: ServedArchive,
    draft_id: str,
    caller: Reporter,
    decision: Acceptance | None = None,
) -> Report:
    """Accept a draft as it stands: it is the study's report from now on. Its `concerns` are acknowledged by
    their ids, or the draft is refused (`draft-concerns`, with the member `concerns`). Its sentences may be
    kept with their concerns, edited or cut.
    """
    given = decision or Acceptance()
    done = archive.accept_report(
        draft_id,
        by=caller.key_id,
        revision=given.revision,
        acknowledge=given.acknowledge,
        sentences=_decided(given.sentences),
    )
    return _recorded(request, done)


@router.post("/{draft_id}/edit")
def edit_report(
    request: Request, archive: ServedArchive, draft_id: str, caller: Reporter, edit: Edit
) -> Report:
    """Put a person's text in place of the draft's; the difference is kept."""
    done = archive.edit_report(draft_id, edit.text, by=caller.key_id, revision=edit.revision)
    return _recorded(request, done)


@router.post("/{draft_id}/reject")
def reject_report(
    request: Request, archive: ServedArchive, draft_id: str, caller: Reporter, rejection: Rejection
) -> Report:
    """Reject a draft for a reason."""
    done = archive.reject_report(draft_id, rejection.reason, by=caller.key_id, revision=rejection.revision)
    return _recorded(request, done)


@router.get(
    "/{draft_id}/export",
    response_class=Response,
    responses={200: {"content": _FILES, "description": "the file, of the type that `format` names"}},
)
def export_report(
    request: Request,
    archive: ServedArchive,
    draft_id: str,
    caller: Reporter,
    format: Annotated[ReportFormat, Query()] = "markdown",
) -> Response:
    """The draft as a file, marked as machine-drafted until it is accepted."""
    from medsiglip.api.archive.drafts.reports import exported
    from medsiglip.medgemma.draft_record import draft_of

    draft = draft_of(archive.index.drafts.get(draft_id))
    made = exported(archive, draft, format)
    auditing.record(request, "export", [draft.study_instance_uid], draft=draft_id, format=format)
    if format in ("pdf", "html"):  # whose pages show pictures of similar cases
        similar = [one.study_instance_uid for one in draft.evidence.similar]
        auditing.record_part(request, similar, "list", draft=draft_id)
    name = f'attachment; filename="draft-{draft.id}{made.suffix}"'
    return Response(made.content, media_type=made.media_type, headers={"Content-Disposition": name})


def _decided(choices: list[SentenceChoice]) -> list[Decided]:
    from medsiglip.api.archive.drafts.reports import Decided

    return [Decided(one.sentence, one.choice, one.text) for one in choices]


def _recorded(request: Request, draft: Report) -> Report:
    auditing.record(
        request,
        "report-decide",
        [draft.study_instance_uid],
        draft=draft.id,
        status=draft.status,
    )
    return draft
