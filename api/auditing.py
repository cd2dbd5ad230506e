"""What is written into the audit trail, and when: before the answer that shows a case is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request

from index.audit_log import AuditEvent


def record(request: Request, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Note that the request's caller did `action` to these studies; `details` hold keys at most."""
    caller = getattr(request.state, "caller", None)
    event = AuditEvent(
        actor="anonymous" if caller is None else caller.key_id,
        action=action,
        studies=tuple(dict.fromkeys(studies)),
        details=details,
        request_id=getattr(request.state, "request_id", None),
    )
    request.app.state.server.archive.index.audit.append([event])
