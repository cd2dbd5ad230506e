"""What is written into the audit trail, and when: before the answer that shows a case is sent.

`ACTIONS` are the verbs. An event that cannot be written fails the request, so nothing is shown unaudited. At
the command line what changes or exports cases is noted; who can run that on a home can read its files anyway.
Studies are named as the archive names them (`medsiglip.api.archive.queries.stored_study_uid`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from medsiglip.index.service.audit_log import AuditEvent

if TYPE_CHECKING:
    from fastapi import Request

    from medsiglip.index.case_index import CaseIndex

ACTIONS = {
    "view": "a study, its images or their previews were shown",
    "list": "studies were listed",
    "search": "studies were found by a query",
    "classify": "a study of the archive was scored",
    "predict": "a probe scored studies of the archive",
    "embed": "embeddings of stored images were given out",
    "ingest": "files were handed in or read from a folder",
    "label": "labels were given to cases",
    "train": "a probe was trained on cases",
    "draft": "a report was drafted",
    "report-view": "a draft was shown",
    "report-decide": "a draft was accepted, edited or rejected",
    "report-import": "report texts were given to cases",
    "route": "a route was made, changed or removed",
    "export": "cases were written to a file",
    "recover": "the home was made to fit an older catalogue",
    "forget": "a patient or a study was removed",
    "create-key": "an API key was made",
    "revoke-key": "an API key was ended",
    "audit-export": "the audit trail was read",
}


def record(request: Request, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Note that the request's caller did `action` to these studies; `details` hold keys and counts, never
    what names a person. Raises CatalogError where it cannot be written.
    """
    caller = getattr(request.state, "caller", None)
    event = AuditEvent(
        actor="anonymous" if caller is None else caller.key_id,
        action=_known(action),
        studies=tuple(dict.fromkeys(studies)),
        details=details,
        request_id=getattr(request.state, "request_id", None),
    )
    request.app.state.server.archive.index.audit.append([event])


def record_study(request: Request, action: str, uid: str, **details: Any) -> str:
    """Note `action` on one study of the archive, named by the UID that the archive or that its files have;
    the former. What is not there is noted, too.
    """
    from medsiglip.api.archive.queries import stored_study_uid

    stored = stored_study_uid(request.app.state.server.archive, uid)
    record(request, action, [stored], **details)
    return stored


def record_local(index: CaseIndex, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Note that the user of this process did `action`, at the command line or by a server's own start."""
    event = AuditEvent(local_actor(), _known(action), tuple(dict.fromkeys(studies)), details)
    index.audit.append([event])


@cache
def local_actor() -> str:
    """`local:<user>` of this process, by the operating system and not by the environment, which anybody may
    set.
    """
    try:
        import pwd

        return f"local:{pwd.getpwuid(os.getuid()).pw_name}"
    except (ImportError, KeyError):
        uid = getattr(os, "getuid", lambda: "unknown")()
        return f"local:{uid}"


def _known(action: str) -> str:
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is no action of the audit trail")
    return action
