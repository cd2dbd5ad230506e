"""Sessions of browsers: their tokens, their ends, how many there may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service import sessions
from medsiglip.index.service.sessions import is_token
from tests.index.conftest import Catalogue

HOUR = timedelta(hours=1)


class Clocked(datetime):
    """The time that the store sees."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clocked]:
    monkeypatch.setattr(Clocked, "ahead", timedelta())
    monkeypatch.setattr(sessions, "datetime", Clocked)
    return Clocked


def count(index: CaseIndex) -> int:
    with index._database.read() as connection:
        return len(connection.exec_driver_sql("SELECT token_hash FROM sessions").all())


def test_a_session_stands_for_its_key_until_its_end(index: CaseIndex, clock: type[Clocked]) -> None:
    key, _ = index.api_keys.create("reader", ["read", "report"])
    begun, token = index.sessions.begin(key, HOUR)
    found = index.sessions.find(token)
    assert found == begun
    assert (found.key, found.as_key.expires_at) == (key, begun.expires_at)
    assert index.sessions.find(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    clock.ahead = HOUR
    assert index.sessions.find(token) is None
    index.sessions.begin(key, HOUR)
    assert count(index) == 1  # what has ended is swept away


def test_a_session_ends_when_it_is_ended(index: CaseIndex) -> None:
    key, _ = index.api_keys.create("reader", ["read"])
    (_, first), (_, second) = (index.sessions.begin(key, HOUR) for _ in range(2))
    index.sessions.end(first)
    index.sessions.end(first)
    assert (index.sessions.find(first), index.sessions.find(second) is None) == (None, False)
    index.sessions.end_of_key(key.id)
    assert index.sessions.find(second) is None


def test_a_session_ends_with_its_key(index: CaseIndex, clock: type[Clocked]) -> None:
    short, _ = index.api_keys.create("short", ["read"], expires_at=datetime.now(UTC) + HOUR / 2)
    begun, token = index.sessions.begin(short, HOUR)
    assert begun.expires_at == short.expires_at
    clock.ahead = HOUR / 2
    assert index.sessions.find(token) is None
    clock.ahead = timedelta()
    other, _ = index.api_keys.create("other", ["admin"])
    _, token = index.sessions.begin(other, HOUR)
    index.api_keys.revoke(other.id)
    assert index.sessions.find(token) is None


def test_beyond_so_many_sessions_of_a_key_the_oldest_end(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_A_KEY", 3)
    key, _ = index.api_keys.create("one", ["read"])
    other, _ = index.api_keys.create("other", ["read"])
    _, of_other = index.sessions.begin(other, HOUR)
    tokens = [index.sessions.begin(key, HOUR)[1] for _ in range(5)]
    assert [index.sessions.find(one) is None for one in tokens] == [True, True, False, False, False]
    assert index.sessions.find(of_other) is not None
    assert count(index) == 4


def test_no_token_is_stored(home: Path, catalogue: Catalogue) -> None:
    with catalogue.open_migrated(home) as index:
        key, _ = index.api_keys.create("one", ["read"])
        _, token = index.sessions.begin(key, HOUR)
        assert is_token(token)
    assert token.encode() not in catalogue.content(home)


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 44, "é" * 43, "a" * 42 + "\n", "a" * 42 + "="])
def test_what_is_no_token_costs_no_query(index: CaseIndex, text: str) -> None:
    assert not is_token(text)
    assert index.sessions.find(text) is None
