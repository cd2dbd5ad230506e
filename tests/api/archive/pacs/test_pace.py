"""How fast a PACS is asked, by a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medsiglip.api.archive.pacs import pace
from medsiglip.api.archive.pacs.pace import Pace, seconds_until


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.now += seconds


def spent(clock: Clock, spend: Pace, sizes: list[int]) -> list[tuple[float, int]]:
    """When operations began, and how many."""
    done = []
    for size in sizes:
        spend(size)
        done.append((clock.now, size))
    return done


def most_within(done: list[tuple[float, int]], seconds: float) -> int:
    return max(sum(size for at, size in done if begin <= at < begin + seconds) for begin, _ in done)


@pytest.mark.parametrize("rate", [0.5, 3.0, 40.0, 5000.0])
def test_no_span_holds_more_than_the_rate_and_one_study(rate: float) -> None:
    clock, largest = Clock(), 30
    sizes = random.Random(1).choices([1, 1, 1, 2, 7, largest], k=400)
    begun = clock.now
    done = spent(clock, Pace(rate, clock=clock, sleep=clock.sleep), sizes)
    for seconds in (1.0, 10.0):
        assert most_within(done, seconds) <= rate * seconds + largest + max(1, 0.02 * rate) + 1e-6
    # It is not slower than it may be, either.
    assert clock.now - begun <= (sum(sizes) + 1) / rate + 0.001 * len(sizes)


def test_it_begins_empty_and_saves_nothing_up() -> None:
    clock = Clock()
    spend = Pace(2.0, clock=clock, sleep=clock.sleep)
    assert [at - 1000.0 for at, _ in spent(clock, spend, [1])] == pytest.approx([0.5])
    clock.now += 3600.0
    begun = clock.now
    assert [at - begun for at, _ in spent(clock, spend, [1, 1, 1])] == pytest.approx([0.0, 0.5, 1.0])


def test_processes_of_one_home_share_it(tmp_path: Path) -> None:
    clock, state = Clock(), tmp_path / "pacs" / "6d.pace"
    several = [Pace(4.0, state, clock=clock, sleep=clock.sleep) for _ in range(3)]
    begun = clock.now
    for number in range(40):
        several[number % 3](1)
    assert clock.now - begun == pytest.approx(40 / 4.0)
    # One that begins after another was killed knows what that has spent.
    several[0](20)
    before = clock.now
    Pace(4.0, state, clock=clock, sleep=clock.sleep)(1)
    assert clock.now - before == pytest.approx(20 / 4.0, abs=0.3)


def test_the_state_is_never_shorter_than_it_was(tmp_path: Path) -> None:
    clock, state = Clock(), tmp_path / "6d.pace"
    spend = Pace(4.0, state, clock=clock, sleep=clock.sleep)
    sizes = set()
    for operations in (1, 20, 1, 3):
        spend(operations)
        sizes.add(state.stat().st_size)
    assert len(sizes) == 1


@pytest.mark.parametrize(
    "content", ["", "nonsense", "boot 1 2 3", "- nan 0.0", "- 1e999 99999999999.0", "- 5 5"]
)
def test_a_damaged_or_older_state_is_an_empty_bucket(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_boot", lambda: "this-boot")
    clock, state = Clock(), tmp_path / "6d.pace"
    state.write_text(content)
    Pace(2.0, state, clock=clock, sleep=clock.sleep)(1)
    assert clock.now == pytest.approx(1000.5)


def test_while_it_waits_the_work_can_be_stopped() -> None:
    clock, calls = Clock(), []

    def check() -> None:
        calls.append(clock.now)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pace(0.1, clock=clock, sleep=clock.sleep, check=check)(1)
    assert clock.now == pytest.approx(1001.5)
    calls.clear()
    unlimited: Callable[[int], None] = Pace(None, clock=clock, sleep=clock.sleep, check=check)
    unlimited(10_000)
    assert calls == [clock.now]


@pytest.mark.parametrize("hours", ["20:00-06:00", "08:30-12:00", "00:00-00:00", "23:59-23:58"])
def test_hours_open_and_close_as_a_day_of_minutes_says(hours: str) -> None:
    begin, end = (int(one[:2]) * 60 + int(one[3:]) for one in hours.split("-"))
    length = (end - begin) % 1440 or 1440
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    for minute in range(0, 1440, 7):
        is_open = (minute - begin) % 1440 < length
        wait = seconds_until(hours, midnight + timedelta(minutes=minute))
        assert wait == (0 if is_open else (begin - minute) % 1440 * 60)
