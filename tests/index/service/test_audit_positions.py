"""How far the trail was brought: forward alone, and by one holder at a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from medsiglip.index.case_index import CaseIndex

LONG, SHORT = timedelta(minutes=1), timedelta(seconds=0.05)


def test_one_holder_moves_a_position_forward(index: CaseIndex) -> None:
    positions = index.audit_positions
    assert positions.position("syslog") == 0
    assert positions.take("syslog", "one", LONG) == 0
    assert positions.take("syslog", "other", LONG) is None
    assert positions.take("another way", "other", LONG) == 0
    assert positions.move("syslog", "one", 5)
    assert not positions.move("syslog", "one", 4)
    assert not positions.move("syslog", "other", 9)
    positions.release("syslog", "other")
    assert positions.take("syslog", "other", LONG) is None
    positions.release("syslog", "one")
    assert positions.take("syslog", "other", SHORT) == 5
    time.sleep(0.1)
    assert positions.take("syslog", "one", LONG) == 5
    assert not positions.move("syslog", "other", 9)
    assert positions.position("syslog") == 5


def test_the_clock_is_that_of_the_database(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = index.audit_positions
    assert positions.take("syslog", "one", LONG) == 0
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with monkeypatch.context() as patched:
        patched.setattr("medsiglip.index.service.audit_positions.now_of", lambda _: ahead)
        assert positions.take("syslog", "other", LONG) == 0
    assert positions.take("syslog", "one", LONG) is None
