"""What is sent back to PACS: a row for each document of an accepted draft and each connection.

The row fixes the SOP Instance UID before the first try, so that the PACS holds the document once, however
often it is sent. Rows go with their draft (`medsiglip.index.storage.forgotten`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_deliveries
from medsiglip.index.catalogue.rows import record_of
from medsiglip.index.service.job_submission import insert_jobs, lock_submissions
from medsiglip.index.service.newest_first import Place, newest_first

JOB_KIND = "pacs-send"


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A document on its way: `status` is waiting, sent or failed, `failure` has the `code` and `message` of
    the last try that did not succeed.
    """

    id: str
    connection: str
    draft_id: str
    format: str
    sop_instance_uid: str
    status: str
    attempts: int
    failure: Mapping[str, Any] | None
    created_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Consignment:
    """Documents of one draft for one PACS; `uids` are their SOP Instance UIDs by format."""

    connection: str
    draft_id: str
    study_instance_uid: str
    uids: Mapping[str, str]

    @property
    def job(self) -> dict[str, Any]:
        """The parameters of the job that sends them, which goes when its study is forgotten."""
        return {
            "study_instance_uid": self.study_instance_uid,
            "draft_id": self.draft_id,
            "to": self.connection,
            "formats": sorted(self.uids),
        }


class DeliveryStore:
    """The deliveries of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, consignment: Consignment) -> list[DeliveryRecord]:
        """Let documents wait to be sent; those that are known keep their UIDs, and failed ones wait again."""
        with self._database.write_service_tables() as connection:
            lock_submissions(connection)
            _insert(connection, consignment)
            return _of(connection, consignment)

    def of(self, consignment: Consignment) -> list[DeliveryRecord]:
        """The rows of these documents, by format; of one that nobody added there is none."""
        with self._database.read() as connection:
            return _of(connection, consignment)

    def same(self, rows: Sequence[DeliveryRecord]) -> list[DeliveryRecord]:
        """These rows as they are now."""
        this = one_of(pacs_deliveries.c.id, [one.id for one in rows])
        with self._database.read() as connection:
            found = connection.execute(select(pacs_deliveries).where(this).order_by(pacs_deliveries.c.format))
            return [record_of(DeliveryRecord, row) for row in found]

    def listed(
        self,
        *,
        to: str | None = None,
        draft_id: str | None = None,
        status: str | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> list[DeliveryRecord]:
        """Deliveries, the newest first; with `after`, the place of another, those that come after it."""
        asked = {"connection": to, "draft_id": draft_id, "status": status}
        statement = newest_first(select(pacs_deliveries), pacs_deliveries, after, limit, **asked)
        with self._database.read() as connection:
            return [record_of(DeliveryRecord, row) for row in connection.execute(statement)]

    def tried(self, delivery_id: str) -> None:
        """A try begins."""
        self._change(delivery_id, {"attempts": pacs_deliveries.c.attempts + 1})

    def sent(self, delivery_id: str) -> None:
        """The PACS holds the document."""
        with self._database.write_service_tables() as connection:
            values = {"status": "sent", "failure": None, "sent_at": now_of(connection)}
            connection.execute(_update(delivery_id).values(**values))

    def not_sent(self, delivery_id: str, failure: Mapping[str, Any], *, for_good: bool) -> None:
        """A try did not succeed; `for_good` where nobody tries again by itself."""
        status = "failed" if for_good else "waiting"
        self._change(delivery_id, {"status": status, "failure": dict(failure)})

    def _change(self, delivery_id: str, values: Mapping[str, Any]) -> None:
        with self._database.write_service_tables() as connection:
            connection.execute(_update(delivery_id).values(**values))


def insert_consignments(connection: Connection, consignments: Sequence[Consignment], key_id: str) -> None:
    """Let documents wait, and order the jobs that send them, inside the caller's write transaction."""
    if not consignments:
        return
    lock_submissions(connection)
    for one in consignments:
        _insert(connection, one)
    insert_jobs(connection, JOB_KIND, [one.job for one in consignments], key_id=key_id)


def _insert(connection: Connection, consignment: Consignment) -> None:
    known = {one.format: one for one in _of(connection, consignment)}
    failed = [one.id for one in known.values() if one.status == "failed"]
    again = update(pacs_deliveries).where(one_of(pacs_deliveries.c.id, failed))
    connection.execute(again.values(status="waiting"))
    now = now_of(connection)
    rows = [
        {
            "id": uuid4().hex,
            "connection": consignment.connection,
            "draft_id": consignment.draft_id,
            "format": format,
            "sop_instance_uid": uid,
            "status": "waiting",
            "attempts": 0,
            "created_at": now,
        }
        for format, uid in sorted(consignment.uids.items())
        if format not in known
    ]
    if rows:
        connection.execute(insert(pacs_deliveries), rows)


def _of(connection: Connection, consignment: Consignment) -> list[DeliveryRecord]:
    statement = select(pacs_deliveries).where(
        pacs_deliveries.c.connection == consignment.connection,
        pacs_deliveries.c.draft_id == consignment.draft_id,
        one_of(pacs_deliveries.c.format, sorted(consignment.uids)),
    )
    found = connection.execute(statement.order_by(pacs_deliveries.c.format))
    return [record_of(DeliveryRecord, row) for row in found]


def _update(delivery_id: str) -> Any:
    return update(pacs_deliveries).where(pacs_deliveries.c.id == delivery_id)
