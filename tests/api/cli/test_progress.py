from __future__ import annotations

import pytest

from medsiglip.api.cli.progress import progress_display, progress_facts


def test_facts_are_count_rate_and_time_left() -> None:
    assert progress_facts(50, 200, 5) == "50/200  10/s  0:00:15 left"
    assert progress_facts(5, 200, 10) == "5/200  0.5/s  0:06:30 left"
    assert progress_facts(200, 200, 5) == "200/200  40/s"
    assert progress_facts(30, None, 2) == "30  15/s"
    assert progress_facts(0, 10, 3) == "0/10"


def test_without_a_terminal_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_display() as on_progress:
        on_progress("embedding", 1, 2)
    assert capfd.readouterr() == ("", "")
