"""The audit trail: append-only, and every tampering that leaves a trace is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from sqlalchemy import Connection, delete, exc, insert, select, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import audit_events
from medsiglip.index.service.audit_log import BEGINNING, MOST_STUDIES, AuditEvent


def write(index: CaseIndex, count: int) -> None:
    index.audit.append([AuditEvent("key", "search", (f"1.2.{n}",), {"k": n}) for n in range(count)])


def without_triggers(index: CaseIndex) -> Connection:
    connection = index._database._engine.connect()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE audit_events DISABLE TRIGGER ALL")
        return connection
    for verb in ("update", "delete"):
        connection.exec_driver_sql(f"DROP TRIGGER audit_events_no_{verb}")
    return connection


def test_an_empty_trail_is_whole(index: CaseIndex) -> None:
    assert index.audit.head() == (0, BEGINNING)
    assert index.audit.verify().ok


def test_hashes_are_those_that_anybody_can_compute(index: CaseIndex) -> None:
    write(index, 3)
    before = BEGINNING
    for number, one in enumerate(index.audit.events(), start=1):
        row = {
            "sequence": number,
            "at": one.event.at,
            "actor": "key",
            "action": "search",
            "studies": [f"1.2.{number - 1}"],
            "details": {"k": number - 1},
            "request_id": None,
            "previous_hash": before,
        }
        before = sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        assert one.hash == before
    assert index.audit.verify().head == before


def test_the_database_refuses_to_change_a_row(index: CaseIndex) -> None:
    write(index, 1)
    for statement in (update(audit_events).values(actor="x"), delete(audit_events)):
        with (
            pytest.raises(exc.DBAPIError, match="append-only"),
            index._database._engine.begin() as connection,
        ):
            connection.execute(statement)


def test_the_database_refuses_to_empty_the_trail(index: CaseIndex) -> None:
    write(index, 1)
    is_server = index._database._engine.dialect.name == "postgresql"
    # SQLite has no TRUNCATE; a DELETE without a condition, which it may turn into one, must fail as well.
    statement = "TRUNCATE audit_events" if is_server else "DELETE FROM audit_events"
    with pytest.raises(exc.DBAPIError, match="append-only"), index._database._engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert index.audit.head()[0] == 1


def _drop(connection: Connection) -> None:
    connection.execute(delete(audit_events).where(audit_events.c.sequence == 4))


def _change(connection: Connection) -> None:
    connection.execute(update(audit_events).where(audit_events.c.sequence == 4).values(studies=["9.9"]))


def _insert(connection: Connection) -> None:
    row = connection.execute(select(audit_events).where(audit_events.c.sequence == 7)).one()._asdict()
    connection.execute(insert(audit_events), [{**row, "sequence": 8, "actor": "nobody"}])


@pytest.mark.parametrize(("tamper", "place"), [(_drop, 5), (_change, 4), (_insert, 8)])
def test_tampering_is_found_at_its_place(
    index: CaseIndex, tamper: Callable[[Connection], None], place: int
) -> None:
    write(index, 7)
    with without_triggers(index) as connection:
        tamper(connection)
        connection.commit()
    verified = index.audit.verify()
    assert (verified.ok, verified.broken_at) == (False, place)


def test_a_cut_end_is_found_against_a_head_that_was_noted(index: CaseIndex) -> None:
    write(index, 7)
    head = index.audit.head()
    write(index, 2)
    assert index.audit.verify(known_head=head).ok
    with without_triggers(index) as connection:
        connection.execute(delete(audit_events).where(audit_events.c.sequence >= 6))
        connection.commit()
    assert index.audit.verify().ok
    verified = index.audit.verify(known_head=head)
    assert (verified.ok, verified.broken_at) == (False, 6)


def test_writers_at_once_make_one_chain(index: CaseIndex) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write(index, 5), range(20)))
    verified = index.audit.verify()
    assert (verified.ok, verified.events) == (True, 100)


def test_events_come_in_chunks(index: CaseIndex) -> None:
    write(index, 9)
    assert [one.sequence for one in index.audit.events(after=2, limit=3)] == [3, 4, 5]


def test_an_event_of_many_studies_is_several_rows_of_one_request(index: CaseIndex) -> None:
    """All studies are named, and no row holds more than a thousand."""
    studies = tuple(f"1.2.{n}" for n in range(100_000))
    index.audit.append([AuditEvent("key", "label", studies, {"rows": 5}, "r1"), AuditEvent("key", "view")])
    events = [one.event for one in index.audit.events()]
    parts = events[:-1]
    assert len(parts) == 100
    assert max(len(part.studies) for part in parts) <= MOST_STUDIES == 1000
    assert [uid for part in parts for uid in part.studies] == list(studies)
    assert [part.details for part in parts] == [
        {"rows": 5, "part": n, "parts": 100} for n in range(1, len(parts) + 1)
    ]
    assert {(part.actor, part.action, part.request_id) for part in parts} == {("key", "label", "r1")}
    assert len({part.at for part in parts}) == 1
    assert (events[-1].studies, events[-1].details) == ((), {})
    assert index.audit.verify().ok
    index.audit.append([AuditEvent("key", "list", studies[:MOST_STUDIES])])
    assert [one.event.details for one in index.audit.events(after=101)] == [{}]
