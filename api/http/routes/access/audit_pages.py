"""`/v1/audit/events`, `/v1/studies/{uid}/audit`: the audit trail in pages, the newest first, for a person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from medsiglip.answers.access import AuditEntry, AuditPage
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.audit_trail import checked_filter
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Admin, ServedArchive
from medsiglip.api.http.schemas import NO_NUL, StudyPath, Uid
from medsiglip.index.service.audit_log import AuditFilter

router = APIRouter(prefix="/v1", tags=["audit"])
Limit = Annotated[int, Query(ge=1, le=1000, description="at most so many")]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="only events before this sequence number")]
Word = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)]


@router.get("/audit/events", operation_id="list_audit_events")
def list_audit_events(
    request: Request,
    archive: ServedArchive,
    _caller: Admin,
    study: Annotated[Uid | None, Query(description="only events that name this study")] = None,
    actor: Word = None,
    action: Word = None,
    before: Before = None,
    limit: Limit = 100,
) -> AuditPage:
    """Events of the trail, the newest first; reading the first page is an event itself."""
    uid = None if study is None else stored_study_uid(archive, study)
    only = checked_filter(actor=actor, action=action, study=uid)
    if before is None:
        auditing.record(request, "audit-export", newest=limit)
    return _page(archive, only, before, limit)


@router.get("/studies/{uid}/audit", operation_id="list_study_audit")
def list_study_audit(
    request: Request,
    archive: ServedArchive,
    uid: StudyPath,
    _caller: Admin,
    before: Before = None,
    limit: Limit = 100,
) -> AuditPage:
    """Who has seen or changed a study, the newest first; a part of the study's opening."""
    stored = stored_study_uid(archive, uid)
    auditing.record_part(request, [stored], "view")
    return _page(archive, AuditFilter(study=stored), before, limit)


def _page(archive: Archive, only: AuditFilter, before: int | None, limit: int) -> AuditPage:
    found = archive.index.audit.newest(limit=limit + 1, before=before, only=only)
    names = {one.id: one.name for one in archive.index.api_keys.listed()}
    events = tuple(
        AuditEntry(
            sequence=one.sequence,
            at=one.event.at,
            actor=one.event.actor,
            name=names.get(one.event.actor),
            action=one.event.action,
            studies=one.event.studies,
            details=dict(one.event.details),
            request_id=one.event.request_id,
        )
        for one in found[:limit]
    )
    return AuditPage(events=events, before=events[-1].sequence if len(found) > limit else None)
