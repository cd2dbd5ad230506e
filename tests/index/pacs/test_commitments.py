"""Requests for storage commitment, from the answer to the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.pacs import commitments
from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.index.pacs.commitments import KEPT, LONGEST_PAUSE
from medsiglip.index.storage.forgotten_pacs import forget_commitments
from tests.index.sent_statements import sent_statements

CT = "1.2.840.10008.5.1.4.1.1.2"
ONE = CommitmentRequest("CT1", "1.2.3", [(CT, "1.1"), (CT, "1.2")])
MINUTE = timedelta(minutes=1)


class Clocked(datetime):
    """The time that the store sees."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clocked]:
    monkeypatch.setattr(Clocked, "ahead", timedelta())
    monkeypatch.setattr(commitments, "datetime", Clocked)
    return Clocked


def test_a_request_is_due_until_it_is_answered(index: CaseIndex, clock: type[Clocked]) -> None:
    store = index.storage_commitments
    store.add(ONE)
    assert store.due() == []  # its sender may still take the report where it asked
    clock.ahead = MINUTE
    assert store.due() == [ONE]
    store.answered("CT2", "1.2.3")
    assert store.due() == [ONE]
    store.answered("CT1", "1.2.3")
    store.answered("CT1", "1.2.3")
    assert store.due() == []


def test_the_same_transaction_again_is_one(index: CaseIndex, clock: type[Clocked]) -> None:
    store = index.storage_commitments
    other = CommitmentRequest("CT1", "1.2.3", [(CT, "1.3")])
    of_another = CommitmentRequest("CT2", "1.2.3", [(CT, "1.1")])
    for request in (ONE, other, of_another):
        store.add(request)
    clock.ahead = MINUTE
    assert store.due() == [other, of_another]


def test_pauses_grow_to_an_hour_and_after_a_week_nobody_is_told(
    index: CaseIndex, clock: type[Clocked]
) -> None:
    store = index.storage_commitments
    store.add(ONE)
    clock.ahead = MINUTE
    pauses = []
    for _ in range(8):
        assert store.due() == [ONE]
        store.later("CT1", "1.2.3")
        begun = clock.ahead
        while not store.due():
            clock.ahead += MINUTE / 2
        pauses.append((clock.ahead - begun) / MINUTE)
    expected = [1, 2, 4, 8, 16, 32, 60, 60]
    assert all(abs(found - wanted) <= 1 for found, wanted in zip(pauses, expected, strict=True)), pauses
    store.later("CT1", "9.9")
    clock.ahead += KEPT + LONGEST_PAUSE
    assert store.due() == []
    clock.ahead = timedelta(hours=12)
    assert store.due() == []


def test_few_are_given_at_once_the_oldest_first(index: CaseIndex, clock: type[Clocked]) -> None:
    store = index.storage_commitments
    for number in range(25):
        store.add(CommitmentRequest("CT1", f"1.{number}", [(CT, "1.1")]))
        clock.ahead += timedelta(seconds=1)
    clock.ahead += MINUTE
    assert [one.transaction_uid for one in store.due()] == [f"1.{number}" for number in range(20)]


def test_requests_about_a_forgotten_instance_go(index: CaseIndex, clock: type[Clocked]) -> None:
    store = index.storage_commitments
    for number in range(40):
        store.add(CommitmentRequest("CT1", f"1.{number}", [(CT, "7.7"), (CT, f"5.{number % 2}")]))
    with sent_statements() as sent, index._database.write_service_tables() as connection:
        forget_commitments(connection, [])
        forget_commitments(connection, ["5.1", "9.9"])
    assert max(map(len, sent)) < 500
    clock.ahead = MINUTE
    left = store.due()
    assert len(left) == 20
    assert {pair for one in left for pair in one.instances} == {(CT, "7.7"), (CT, "5.0")}


def test_a_large_request_is_one_row(index: CaseIndex, clock: type[Clocked]) -> None:
    large = CommitmentRequest("CT1", "1.2.3", [(CT, f"1.2.840.{number}") for number in range(20_000)])
    with sent_statements() as sent:
        index.storage_commitments.add(large)
    assert max(map(len, sent)) < 500
    clock.ahead = MINUTE
    assert index.storage_commitments.due() == [large]
