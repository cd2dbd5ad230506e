"""Requests for storage commitment, from the time that a sender was told "received" until it has the report.

A row goes when the sender has taken the report, and a week after it asked: senders ask again. Rows that name
an instance of a forgotten study go with it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.pacs.schema import storage_commitments
from medsiglip.index.pacs.commitment_records import CommitmentRequest

KEPT = timedelta(days=7)
# The sender may take the report on its own association first.
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
_AT_ONCE = 20


class CommitmentStore:
    """The requests of one catalogue that were not answered. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, request: CommitmentRequest) -> None:
        """Keep a request. The same transaction again takes the place of the one before."""
        now = datetime.now(UTC)
        with self._database.write_service_tables() as connection:
            _delete(connection, request.calling_ae, request.transaction_uid)
            connection.execute(
                insert(storage_commitments).values(
                    id=uuid4().hex,
                    transaction_uid=request.transaction_uid,
                    calling_ae=request.calling_ae,
                    instances=[list(pair) for pair in request.instances],
                    attempts=0,
                    not_before=now + FIRST_PAUSE,
                    requested_at=now,
                )
            )

    def due(self) -> list[CommitmentRequest]:
        """Requests to be reported now on an association of our own, the oldest first, at most twenty. Those
        that are too old are given up.
        """
        now, table = datetime.now(UTC), storage_commitments.c
        asked = select(table.calling_ae, table.transaction_uid, table.instances)
        asked = asked.where(table.not_before <= now).order_by(table.requested_at, table.id).limit(_AT_ONCE)
        with self._database.read() as connection:
            is_old = connection.execute(select(table.id).where(table.requested_at < now - KEPT).limit(1))
            has_old, rows = is_old.first() is not None, connection.execute(asked).all()
        if has_old:
            with self._database.write_service_tables() as connection:
                connection.execute(delete(storage_commitments).where(table.requested_at < now - KEPT))
            return self.due()
        return [
            CommitmentRequest(
                row.calling_ae, row.transaction_uid, [(pair[0], pair[1]) for pair in row.instances]
            )
            for row in rows
        ]

    def later(self, calling_ae: str, transaction_uid: str) -> None:
        """Report a request at another time: after a minute, then after twice as long, up to an hour."""
        table = storage_commitments.c
        of_it = (table.calling_ae == calling_ae, table.transaction_uid == transaction_uid)
        with self._database.write_service_tables() as connection:
            attempts = connection.execute(select(table.attempts).where(*of_it)).scalar()
            if attempts is None:
                return
            pause = min(timedelta(minutes=1) * 2 ** min(attempts, 10), LONGEST_PAUSE)
            values = {"attempts": attempts + 1, "not_before": datetime.now(UTC) + pause}
            connection.execute(update(storage_commitments).where(*of_it).values(**values))

    def answered(self, calling_ae: str, transaction_uid: str) -> None:
        """The sender has the report."""
        with self._database.write_service_tables() as connection:
            _delete(connection, calling_ae, transaction_uid)


def _delete(connection: Connection, calling_ae: str, transaction_uid: str) -> None:
    table = storage_commitments.c
    of_it = (table.calling_ae == calling_ae, table.transaction_uid == transaction_uid)
    connection.execute(delete(storage_commitments).where(*of_it))
