"""A background is measured by one thread, while others wait a little and then do without."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive import backgrounds
from medsiglip.api.archive.backgrounds import Backgrounds, Kind
from medsiglip.index.case_index import CaseIndex
from tests.index.index_cases import SPACE


@dataclass(frozen=True)
class Number:
    value: int

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value}


def read(content: Mapping[str, Any]) -> Number:
    return Number(content["value"])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(tmp_path / "home") as opened:
        opened.activate(SPACE)
        yield opened


def test_one_thread_measures(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backgrounds, "_PATIENCE_SECONDS", 0.01)
    begun, may_end, times = threading.Event(), threading.Event(), []

    def measure() -> Number:
        times.append(1)
        begun.set()
        assert may_end.wait(30)
        return Number(7)

    held, kind = Backgrounds(), Kind("text", measure, read)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(held.of, index, SPACE.name, kind, 10)
        assert begun.wait(30)
        assert pool.submit(held.of, index, SPACE.name, kind, 10).result(30) is None
        may_end.set()
        assert first.result(30) == Number(7)
    assert held.of(index, SPACE.name, kind, 12) == Number(7)
    assert Backgrounds().of(index, SPACE.name, kind, 8) == Number(7)
    assert len(times) == 1
    assert held.of(index, SPACE.name, kind, 13) == Number(7)
    assert len(times) == 2


def test_what_fails_is_measured_by_the_next(index: CaseIndex) -> None:
    def fail() -> Number:
        raise ValueError("no model")

    held = Backgrounds()
    with pytest.raises(ValueError, match="no model"):
        held.of(index, SPACE.name, Kind("text", fail, read), 10)
    assert held.of(index, SPACE.name, Kind("text", lambda: Number(3), read), 10) == Number(3)


def test_there_may_be_too_little_to_measure(index: CaseIndex) -> None:
    times = []

    def nothing() -> None:
        times.append(1)

    held = Backgrounds()
    for _ in range(2):
        assert held.of(index, SPACE.name, Kind("image", nothing, read), 10) is None
        assert Backgrounds().of(index, SPACE.name, Kind("image", nothing, read), 10) is None
    assert len(times) == 1
