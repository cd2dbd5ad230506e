"""`/v1/reports`: drafts are asked for, read, decided on and exported."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.job_start import IdempotencyKey, accepted, submit
from medsiglip.api.http.routes.jobs import JobAnswer

router = APIRouter(prefix="/v1/reports", tags=["reports"])
Reader = Annotated[Caller, Depends(requires("read"))]
Reporter = Annotated[Caller, Depends(requires("report"))]
_FILES: dict[str, Any] = {
    "text/markdown": {"schema": {"type": "string"}},
    "application/fhir+json": {"schema": {"type": "object"}},
    **{
        f"application/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("dicom", "pdf")
    },
}
Status = Literal["draft", "edited", "accepted", "rejected"]
FileFormat = Literal["sr", "pdf", "fhir", "markdown", "dicom-pdf"]


class ReportOrder(BaseModel):
    """What to draft; without `generator` and `options` as the route says, else `evidence-only`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"study_instance_uid": "1.2.840.1"}}
    )

    study_instance_uid: str = Field(min_length=1, max_length=64)
    route: str | None = Field(None, max_length=64)
    generator: str | None = Field(None, max_length=64)
    options: dict[str, Any] | None = Field(None, description="fields of a route's rule, such as `neighbours`")
    indication: str | None = Field(None, max_length=2000)


class Decision(BaseModel):
    """`revision` is that of the draft as it was seen; a draft with another has changed."""

    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(None, ge=1, le=2**31)


class Rejection(Decision):
    """Why a draft is rejected."""

    reason: str = Field(min_length=1, max_length=2000)


class Edit(Decision):
    """The text that stands in place of the draft's."""

    text: str = Field(min_length=1, max_length=100_000)


class Report(BaseModel):
    """A draft: its text, what it stands on, and how each of its sentences fared."""

    model_config = ConfigDict(extra="allow")

    id: str
    study_instance_uid: str
    status: Status
    route: str | None
    generator: str
    text: str
    marked: str = Field(description="the text with what contradicts the scores or is copied marked")
    findings: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    flips: list[str]
    warnings: list[str] = Field(description="what to look at before the text is used")
    revision: int
    created_at: str
    history: list[dict[str, Any]]


class ReportLine(BaseModel):
    """A draft in a list."""

    id: str
    study_instance_uid: str
    status: Status
    route: str | None
    generator: str
    text: str
    revision: int
    created_at: str


class ReportList(BaseModel):
    """Drafts, the newest first."""

    reports: list[ReportLine]


@router.post("", status_code=202, response_model=JobAnswer)
def order_report(
    request: Request,
    response: Response,
    order: ReportOrder,
    caller: Reporter,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Draft a report; the job's result names the draft, whose id is the job's."""
    from medsiglip.api.archive.drafts.generator_settings import generator_named
    from medsiglip.api.archive.drafts.reports import ReportRequest, chosen_generator
    from medsiglip.api.archive.queries import stored_study_uid
    from medsiglip.medgemma.routing.routing import JOB_KIND

    archive = _archive(request)
    uid = stored_study_uid(archive, order.study_instance_uid)
    archive.index.study(uid)
    asked = ReportRequest(uid, order.route, order.generator, order.options)
    name, options = chosen_generator(archive, asked)
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
    return accepted(submit(request, caller, JOB_KIND, parameters, idempotency_key), caller, response)


@router.get("", response_model=ReportList)
def list_reports(
    request: Request,
    caller: Reader,
    status: Status | None = None,
    study_instance_uid: Annotated[str | None, Query(max_length=64)] = None,
    route: Annotated[str | None, Query(max_length=64)] = None,
    words: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The newest drafts; `words` are looked for in their texts and in the reports of their studies."""
    found = _archive(request).reports(
        status=status, study=study_instance_uid, route=route, words=words, limit=limit
    )
    auditing.record(request, "report-view", [one["study_instance_uid"] for one in found["reports"]])
    return found


@router.get("/{draft_id}", response_model=Report)
def get_report(request: Request, draft_id: str, caller: Reader) -> dict[str, Any]:
    """One draft."""
    found = _archive(request).report(draft_id)
    auditing.record(request, "report-view", [found["study_instance_uid"]], draft=draft_id)
    return found


@router.post("/{draft_id}/accept", response_model=Report)
def accept_report(
    request: Request, draft_id: str, caller: Reporter, decision: Decision | None = None
) -> dict[str, Any]:
    """Accept a draft as it stands: it is the study's report from now on."""
    seen = decision.revision if decision else None
    return _decided(request, _archive(request).accept_report(draft_id, by=caller.key_id, revision=seen))


@router.post("/{draft_id}/edit", response_model=Report)
def edit_report(request: Request, draft_id: str, caller: Reporter, edit: Edit) -> dict[str, Any]:
    """Put a person's text in place of the draft's; the difference is kept."""
    archive = _archive(request)
    done = archive.edit_report(draft_id, edit.text, by=caller.key_id, revision=edit.revision)
    return _decided(request, done)


@router.post("/{draft_id}/reject", response_model=Report)
def reject_report(request: Request, draft_id: str, caller: Reporter, rejection: Rejection) -> dict[str, Any]:
    """Reject a draft for a reason."""
    archive = _archive(request)
    done = archive.reject_report(draft_id, rejection.reason, by=caller.key_id, revision=rejection.revision)
    return _decided(request, done)


@router.get(
    "/{draft_id}/export",
    response_class=Response,
    responses={200: {"content": _FILES, "description": "the file, of the type that `format` says"}},
)
def export_report(
    request: Request,
    draft_id: str,
    caller: Reporter,
    format: Annotated[FileFormat, Query()] = "markdown",
) -> Response:
    """The draft as a file, marked as machine-drafted until it is accepted."""
    from medsiglip.api.archive.drafts.reports import exported
    from medsiglip.medgemma.draft_record import draft_of

    archive = _archive(request)
    draft = draft_of(archive.index.drafts.get(draft_id))
    made = exported(archive, draft, format)
    auditing.record(request, "export", [draft.study_instance_uid], draft=draft_id, format=format)
    name = f'attachment; filename="draft-{draft.id}{made.suffix}"'
    return Response(made.content, media_type=made.media_type, headers={"Content-Disposition": name})


def _decided(request: Request, draft: dict[str, Any]) -> dict[str, Any]:
    auditing.record(
        request,
        "report-decide",
        [draft["study_instance_uid"]],
        draft=draft["id"],
        status=draft["status"],
    )
    return draft


def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.server.archive
    return archive
