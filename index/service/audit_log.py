"""The audit trail: append-only rows, each with a hash over itself and the hash before it.

A row that was changed, removed or inserted breaks the chain at that place. Rows removed at the end leave a
valid, shorter chain: note the head (`AuditLog.head`) elsewhere now and then, and verify against it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, insert, select, text

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.service_schema import audit_events

BEGINNING = "0" * 64
# An event of more studies becomes several, so that a row stays small.
MOST_STUDIES = 1000
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to which studies. `actor` is a key's id or `local:<user>`, `action` a verb such as
    `search`; `details` holds no patient data but `patient_key`. `at` is ISO 8601 in UTC.
    """

    actor: str
    action: str
    studies: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """An event in its place in the chain, counted from 1."""

    sequence: int
    event: AuditEvent
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """`broken_at` is the sequence number of the first row that does not fit, None when all do."""

    ok: bool
    events: int
    head: str
    broken_at: int | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Events of one actor, one action and one study, where they are given."""

    actor: str | None = None
    action: str | None = None
    study: str | None = None


ANY = AuditFilter()


class AuditLog:
    """The trail of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Add events in order, in one transaction; one of more than `MOST_STUDIES` studies in several parts,
        whose `details` count them.
        """
        if not events:
            return
        with self._database.write_service_tables() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(5064663)"))
            sequence, head = _head(connection)
            rows = []
            for event in events:
                for part in _parts(event):
                    sequence += 1
                    row = _row(sequence, part, head)
                    head = row["hash"]
                    rows.append(row)
            connection.execute(insert(audit_events), rows)

    def head(self) -> tuple[int, str]:
        """Number of the last event and its hash: 0 and 64 zeros for an empty trail."""
        with self._database.read() as connection:
            return _head(connection)

    def events(self, *, after: int = 0, limit: int | None = None) -> Iterator[ChainedEvent]:
        """The events after sequence number `after`, in order."""
        while limit is None or limit > 0:
            size = _CHUNK if limit is None else min(_CHUNK, limit)
            statement = select(audit_events).where(audit_events.c.sequence > after)
            with self._database.read() as connection:
                rows = connection.execute(statement.order_by(audit_events.c.sequence).limit(size)).all()
            for row in rows:
                yield _chained(row)
            if len(rows) < size:
                return
            after = rows[-1].sequence
            limit = None if limit is None else limit - len(rows)

    def newest(self, *, limit: int, before: int | None = None, only: AuditFilter = ANY) -> list[ChainedEvent]:
        """At most `limit` events that `only` lets through, the newest first, of those with a sequence number
        below `before`. The database looks through the trail from its end.
        """
        asked = select(audit_events).order_by(audit_events.c.sequence.desc()).limit(limit)
        if before is not None:
            asked = asked.where(audit_events.c.sequence < before)
        if only.actor is not None:
            asked = asked.where(audit_events.c.actor == only.actor)
        if only.action is not None:
            asked = asked.where(audit_events.c.action == only.action)
        if only.study is not None:
            # The list is stored as JSON, in which a UID stands in quotes.
            listed = cast(audit_events.c.studies, Text)
            asked = asked.where(listed.contains(json.dumps(only.study), autoescape=True))
        with self._database.read() as connection:
            return [_chained(row) for row in connection.execute(asked)]

    def verify(self, *, known_head: tuple[int, str] | None = None) -> AuditVerification:
        """Compute the chain again; with a `known_head` noted before, check that it is still in the chain."""
        expected, count, known = BEGINNING, 0, known_head is None or known_head[0] == 0
        for one in self.events():
            count += 1
            fits = one.sequence == count and one.previous_hash == expected
            if not fits or _row(one.sequence, one.event, one.previous_hash)["hash"] != one.hash:
                return AuditVerification(False, count, one.hash, one.sequence)
            expected = one.hash
            known = known or known_head == (one.sequence, one.hash)
        if not known and known_head is not None:
            return AuditVerification(False, count, expected, min(count + 1, known_head[0]))
        return AuditVerification(True, count, expected)


def _head(connection: Connection) -> tuple[int, str]:
    statement = select(audit_events.c.sequence, audit_events.c.hash)
    last = connection.execute(statement.order_by(audit_events.c.sequence.desc()).limit(1)).one_or_none()
    return (0, BEGINNING) if last is None else (last.sequence, last.hash)


def _parts(event: AuditEvent) -> Iterator[AuditEvent]:
    count = -(-len(event.studies) // MOST_STUDIES)
    if count < 2:
        yield event
        return
    at = event.at or _now()
    for part in range(count):
        studies = event.studies[part * MOST_STUDIES : (part + 1) * MOST_STUDIES]
        details = {**event.details, "part": part + 1, "parts": count}
        yield replace(event, studies=studies, details=details, at=at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _row(sequence: int, event: AuditEvent, previous_hash: str) -> dict[str, Any]:
    row = {
        "sequence": sequence,
        "at": event.at or _now(),
        "actor": event.actor,
        "action": event.action,
        "studies": list(event.studies),
        "details": json.loads(json.dumps(dict(event.details))),
        "request_id": event.request_id,
        "previous_hash": previous_hash,
    }
    written = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return {**row, "hash": hashlib.sha256(written.encode("ascii")).hexdigest()}


def _chained(row: Row[Any]) -> ChainedEvent:
    event = AuditEvent(row.actor, row.action, tuple(row.studies), row.details, row.request_id, row.at)
    return ChainedEvent(row.sequence, event, row.previous_hash, row.hash)
