"""What requests record in the audit trail, before the answer that shows a case is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request

from medsiglip.api.archive.audit_trail import checked_action
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.index.service.audit_log import AuditEvent
from medsiglip.index.service.jobs import Job


def record(request: Request, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Record that the caller did `action` to these studies; `details` hold keys and counts, never what names
    a person. Raises CatalogError where it cannot be written.
    """
    caller = getattr(request.state, "caller", None)
    event = AuditEvent(
        actor="anonymous" if caller is None else caller.key_id,
        action=checked_action(action),
        studies=tuple(dict.fromkeys(studies)),
        details=details,
        request_id=getattr(request.state, "request_id", None),
    )
    request.app.state.server.archive.index.audit.append([event])


def record_study(request: Request, action: str, uid: str, **details: Any) -> str:
    """Record `action` on one study, given by the UID that the archive or that its files have; the UID of the
    archive. A study that is not there is recorded, too.
    """
    stored = stored_study_uid(request.app.state.server.archive, uid)
    record(request, action, [stored], **details)
    return stored


def record_result(request: Request, job: Job) -> None:
    """Record that the caller is shown the cases that the result of a job names, if it names any."""
    cases = job.result.get("cases") if isinstance(job.result, dict) else None
    if isinstance(cases, list) and cases:
        record(request, "evaluate", [one["study_instance_uid"] for one in cases], job=job.id)
