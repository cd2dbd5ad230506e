"""What requests record in the audit trail, before the answer that shows a case is sent.

A page of a case asks for its study once and then for hundreds of frames, previews and scores of it: that is
one event, the opening. Each server process remembers for `COVERED_SECONDS` which studies a caller has opened
or was shown in a list; what it does not remember (another process, too many) is recorded once more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import Request

from medsiglip.api.archive.audit_trail import checked_action
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.http.auth import Caller
from medsiglip.index.service.audit_log import AuditEvent
from medsiglip.index.service.jobs import Job

COVERED_SECONDS = 30 * 60.0
_MOST_PAIRS = 50_000
_LIST = "list"


class ShownStudies:
    """Which studies each caller has opened or was listed in the last `COVERED_SECONDS`.

    Of each, at most 50,000 pairs: the oldest are forgotten, which costs an event at worst. Safe for several
    threads.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # One part after the other, so that frames asked for at once find the event of the first.
        self.recording = threading.Lock()
        self._opened: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._listed: OrderedDict[tuple[str, str], float] = OrderedDict()

    def mark(self, caller: str, studies: Iterable[str], *, opened: bool) -> None:
        """Remember that events say that the caller was shown these studies; `opened` or in a list."""
        kept = self._opened if opened else self._listed
        with self._lock:
            now = self._clock()
            for uid in studies:
                kept[caller, uid] = now + COVERED_SECONDS
                kept.move_to_end((caller, uid))
                if len(kept) > _MOST_PAIRS:
                    kept.popitem(last=False)
            for pairs in (self._opened, self._listed):
                while pairs and next(iter(pairs.values())) <= now:
                    pairs.popitem(last=False)

    def __len__(self) -> int:
        """How many pairs of a caller and a study are remembered."""
        with self._lock:
            return len(self._opened) + len(self._listed)

    def missing(self, caller: str, studies: Iterable[str], *, listed: bool) -> list[str]:
        """Those that the caller has not opened, nor been listed where `listed` is enough, without doubles."""
        with self._lock:
            now = self._clock()
            return [
                uid
                for uid in dict.fromkeys(studies)
                if self._opened.get((caller, uid), now) <= now
                and not (listed and self._listed.get((caller, uid), now) > now)
            ]


def record(request: Request, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Record that the caller did `action` to these studies; `details` hold keys and counts, never what names
    a person. Raises CatalogError where it cannot be written.
    """
    event = AuditEvent(
        actor=_actor(request),
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


def record_opening(request: Request, uid: str, action: str = "view", **details: Any) -> str:
    """As `record_study`, always; the parts of this study that the caller asks for next are of this event."""
    stored = record_study(request, action, uid, **details)
    _shown(request).mark(_actor(request), [stored], opened=True)
    return stored


def record_list(
    request: Request,
    action: str,
    studies: Sequence[str],
    *,
    also_shown: Sequence[str] = (),
    **details: Any,
) -> None:
    """Record one event of a list of studies (cases, hits, a queue), whose small pictures are of this event.

    `also_shown` are in the list without being named in the event, as where it is of the whole archive.
    """
    record(request, action, studies, **details)
    _shown(request).mark(_actor(request), [*studies, *also_shown], opened=False)


def record_part(request: Request, studies: Sequence[str], action: str, **details: Any) -> None:
    """Record one event that names those studies, by their UIDs in the archive, which no event of the caller
    covers yet: none, where all are covered.

    `action` is `list` for what stands in lists, such as small pictures, which a list covers, too; all else
    (`view`, `classify`) only an opening or an earlier part covers. The studies then count as listed or as
    opened.
    """
    shown, actor, is_list = _shown(request), _actor(request), action == _LIST
    if not shown.missing(actor, studies, listed=is_list):
        return
    with shown.recording:
        missing = shown.missing(actor, studies, listed=is_list)
        if missing:
            record(request, action, missing, **details)
            shown.mark(actor, missing, opened=not is_list)


def record_result(request: Request, job: Job) -> None:
    """Record that the caller is shown the cases that the result of a job names, if it names any."""
    cases = job.result.get("cases") if isinstance(job.result, dict) else None
    if isinstance(cases, list) and cases:
        record(request, "evaluate", [one["study_instance_uid"] for one in cases], job=job.id)


def _actor(request: Request) -> str:
    caller: Caller | None = getattr(request.state, "caller", None)
    return "anonymous" if caller is None else caller.key_id


def _shown(request: Request) -> ShownStudies:
    shown: ShownStudies = request.app.state.shown_studies
    return shown
