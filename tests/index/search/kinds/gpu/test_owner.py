"""One thread for a device, asked by many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from medsiglip.index.search.kinds.gpu.device import DeviceError, ProcessorDevice
from medsiglip.index.search.kinds.gpu.owner import MOST_QUERIES, DeviceOwner, owner_of
from tests.index.search.kinds.gpu.devices import FULL
from tests.waiting import eventually


class Rows:
    """Answers a query with its own first value, in the thread that asked for it; 13 cannot be answered."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.sizes: list[int] = []
        self.busy = threading.Lock()

    def find(self, queries: np.ndarray, fetch: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.busy.acquire(blocking=False), "two threads at once"
        try:
            self.threads.add(threading.get_ident())
            self.sizes.append(len(queries))
            if (queries[:, 0] == 13).any():
                raise RuntimeError(FULL)
            first = np.repeat(queries[:, :1], fetch, axis=1)
            return first, first.astype(np.int64) + np.arange(fetch)
        finally:
            self.busy.release()


@pytest.fixture
def owner() -> Iterator[DeviceOwner]:
    made = DeviceOwner(ProcessorDevice())
    yield made
    made.close()


def busy(owner: DeviceOwner, go: threading.Event) -> threading.Thread:
    """A thread for which the owner works until `go`; it has begun."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        go.wait()

    thread = threading.Thread(target=lambda: owner.call(work))
    thread.start()
    assert begun.wait(60)
    return thread


def together(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_are_answered_by_one_each_with_its_own(owner: DeviceOwner) -> None:
    rows = Rows()
    wrong: list[object] = []

    def ask(number: int) -> None:
        for turn in range(40):
            value, count, fetch = number * 100 + turn, 1 + turn % 3, 1 + (number + turn) % 5
            scores, slots = owner.search(rows, np.full((count, 2), value, np.float32), fetch)
            if scores.shape != (count, fetch) or not (slots == value + np.arange(fetch)).all():
                wrong.append((number, turn))

    together([partial(ask, number) for number in range(1, 13)])
    assert wrong == []
    assert len(rows.threads) == 1
    assert rows.threads != {threading.get_ident()}
    assert owner.requests == 12 * 40
    assert owner.batches == len(rows.sizes) <= owner.requests


def test_what_comes_while_the_device_is_busy_is_searched_together(owner: DeviceOwner) -> None:
    rows, other = Rows(), Rows()
    go = threading.Event()
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    blocker = busy(owner, go)

    def ask(value: int) -> None:
        where = other if value == 5 else rows
        found[value] = owner.search(where, np.full((value, 1), value, np.float32), value)

    threads = [threading.Thread(target=ask, args=(value,)) for value in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(owner._waiting) == 4)
    go.set()
    for thread in (blocker, *threads):
        thread.join()
    assert rows.sizes == [2 + 3 + 4]
    assert other.sizes == [5]
    for value, (scores, slots) in found.items():
        assert scores.shape == slots.shape == (value, value)
        assert (scores == value).all()


def wait_until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_a_batch_is_no_larger_than_the_most(owner: DeviceOwner) -> None:
    rows = Rows()
    go = threading.Event()
    blocker = busy(owner, go)

    def ask() -> None:
        owner.search(rows, np.ones((MOST_QUERIES // 2, 1), np.float32), 1)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(owner._waiting) == 5)
    go.set()
    for thread in (blocker, *threads):
        thread.join()
    assert max(rows.sizes) <= MOST_QUERIES
    assert sum(rows.sizes) == 5 * MOST_QUERIES // 2
    assert len(rows.sizes) < 5


def test_an_error_is_that_of_its_own_request(owner: DeviceOwner) -> None:
    rows = Rows()
    go = threading.Event()
    answers: dict[int, object] = {}
    blocker = busy(owner, go)

    def ask(value: int) -> None:
        try:
            answers[value] = float(owner.search(rows, np.full((1, 1), value, np.float32), 1)[0][0, 0])
        except DeviceError as error:
            answers[value] = str(error)

    threads = [threading.Thread(target=ask, args=(value,)) for value in (12, 13, 14)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(owner._waiting) == 3)
    go.set()
    for thread in (blocker, *threads):
        thread.join()
    message = answers.pop(13)
    assert answers == {12: 12.0, 14: 14.0}
    assert isinstance(message, str)
    assert "cudaMalloc error out of memory" in message
    assert "faiss::gpu" not in message


def test_other_work_is_done_between_and_its_errors_come_back(owner: DeviceOwner) -> None:
    assert owner.call(lambda: 7) == 7
    with pytest.raises(DeviceError, match="by zero"):
        owner.call(lambda: 1 // 0)
    with pytest.raises(DeviceError, match="as it was"):
        owner.call(lambda: (_ for _ in ()).throw(DeviceError("as it was")))
    held: list[object] = [object()]
    owner.release(held)
    owner.call(lambda: None)
    assert held == []


def test_a_closed_owner_refuses_what_waits_and_what_comes() -> None:
    owner = DeviceOwner(ProcessorDevice())
    go = threading.Event()
    errors: list[str] = []
    blocker = busy(owner, go)

    def ask() -> None:
        try:
            owner.search(Rows(), np.ones((1, 1), np.float32), 1)
        except DeviceError as error:
            errors.append(str(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    wait_until(lambda: len(owner._waiting) == 1)
    closing = threading.Thread(target=owner.close)
    closing.start()
    waiting.join()
    go.set()
    for thread in (closing, blocker):
        thread.join()
    ask()
    assert errors == ["the device was closed"] * 2
    owner.release([1])
    owner.close()


def test_an_idle_owner_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsiglip.index.search.kinds.gpu.owner._IDLE_SECONDS", 0.01)
    owner = DeviceOwner(ProcessorDevice())
    assert owner.call(lambda: 1) == 1
    wait_until(lambda: owner._thread is None)
    assert owner.call(lambda: 2) == 2
    owner.close()


def test_a_device_has_one_owner_in_a_process() -> None:
    class Other(ProcessorDevice):
        name = "other"

    first, again, other = owner_of(ProcessorDevice()), owner_of(ProcessorDevice()), owner_of(Other())
    assert first is again
    assert other is not first


def test_work_that_comes_as_an_idle_thread_ends_is_done(owner: DeviceOwner) -> None:
    """It came after the time to wait was over, when the thread still seemed to wait."""
    late: list[threading.Thread] = []
    answers: list[int] = []

    class Ending(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            if late:
                return super().wait(timeout)
            asking = threading.Thread(target=lambda: answers.append(owner.call(lambda: 7)), daemon=True)
            asking.start()
            late.append(asking)
            super().wait(60)  # until it has left its work
            return False

    owner._changed = Ending()
    assert owner.call(lambda: 6) == 6
    eventually(lambda: late, 60)
    late[0].join(20)
    assert answers == [7]
