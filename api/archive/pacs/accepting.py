"""A draft is accepted, and what follows is ordered in the same transaction: neither without the other,
whatever fails in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.reports import Report
from medsiglip.api.archive.drafts import reports
from medsiglip.api.archive.drafts.reports import Decided
from medsiglip.api.archive.pacs.delivering import automatic
from medsiglip.api.archive.webhooks import announcements

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medsiglip.api.archive.opened import OpenedArchive


def accept_report(
    archive: OpenedArchive,
    draft_id: str,
    *,
    by: str,
    revision: int | None = None,
    acknowledge: Collection[str] = (),
    sentences: Sequence[Decided] = (),
) -> Report:
    """Accept a draft: it is the study's report from now on. `acknowledge` are ids of its `concerns`; one that
    is missing is refused (`draft-concerns`). `sentences` of the `revision` are kept with their concerns,
    edited or cut.

    It then goes to those PACS that ask for all reports (`send_accepted`), and the listener of webhooks is
    told.
    """
    from medsiglip.index.pacs.deliveries import insert_consignments
    from medsiglip.index.service.audit_log import AuditEvent
    from medsiglip.medgemma.draft_record import draft_of

    draft = draft_of(archive.index.drafts.get(draft_id))
    consignments = automatic(archive, draft)
    announced = announcements(archive, "report-accepted", [draft.study_instance_uid], report=draft_id)

    def follow(connection: Connection) -> None:
        insert_consignments(connection, consignments, by)
        announced.insert(connection)

    done = reports.accept_report(
        archive,
        draft_id,
        by=by,
        revision=revision,
        acknowledge=acknowledge,
        sentences=sentences,
        also=follow,
    )
    study = (draft.study_instance_uid,)
    sent = ({"draft": draft_id, "to": one.connection} for one in consignments)
    archive.index.audit.append([AuditEvent(by, "pacs-send", study, details) for details in sent])
    return done
