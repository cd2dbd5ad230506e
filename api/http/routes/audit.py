"""The audit trail, for admins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from medsiglip.api.archive.audit_trail import event_row
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Admin, ServedArchive
from medsiglip.index.service.audit_log import AuditLog

router = APIRouter(tags=["audit"])
LINES = "application/jsonl"


@router.get(
    "/v1/audit",
    response_class=StreamingResponse,
    responses={200: {"content": {LINES: {"schema": {"type": "string"}}}, "description": "An event a line"}},
)
def export_audit(
    request: Request,
    archive: ServedArchive,
    _caller: Admin,
    after: Annotated[int, Query(ge=0, le=2**62, description="Only events behind this sequence number.")] = 0,
    limit: Annotated[int | None, Query(ge=1, le=2**62, description="At most so many.")] = None,
) -> StreamingResponse:
    """The audit trail, one event a line, in order; reading it is an event itself."""
    auditing.record(request, "audit-export", after=after)
    return StreamingResponse(_lines(archive.index.audit, after, limit), media_type=LINES)


def _lines(trail: AuditLog, after: int, limit: int | None) -> Iterator[str]:
    for one in trail.events(after=after, limit=limit):
        yield json.dumps(event_row(one)) + "\n"
