"""How far the trail was brought: forward alone, and by one holder at a time."""

from __future__ import annotations

import time
from datetime import timedelta

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
