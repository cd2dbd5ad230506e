"""Moving rows to a device: refusals before anything moves, memory that runs out, tombstones, rebuilding."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from medsiglip.index.search.kinds.gpu import residence
from medsiglip.index.search.kinds.gpu.device import DeviceError, ProcessorDevice
from medsiglip.index.search.kinds.gpu.device_memory import RESERVE
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex
from medsiglip.index.search.kinds.gpu.recipes import FLAT, IVF_FLAT, IVF_PQ, Recipe
from medsiglip.index.search.kinds.vector_search import ExactSearch
from tests.index.search.kinds.gpu import devices
from tests.index.search.kinds.gpu.devices import FullDevice, embeddings, every_device, moved
from tests.repository import ROOT

pytestmark = pytest.mark.long

DIMENSION = 16
# What a flat index takes beside its rows.
WORK = RESERVE + (1536 << 20)


def filled(device: ProcessorDevice, count: int, recipe: Recipe = FLAT) -> tuple[GpuIndex, ExactSearch]:
    index, exact = devices.gpu_index(recipe, device, DIMENSION), ExactSearch(DIMENSION)
    for one in (index, exact):
        one.add(np.arange(count), embeddings(count, 1, DIMENSION))
    return index, exact


def check(index: GpuIndex, exact: ExactSearch) -> None:
    queries = embeddings(8, 5, DIMENSION)
    found, expected = index.search(queries, 6), exact.search(queries, 6)
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(index.rows(exact.ids), exact.rows(exact.ids))


def test_what_does_not_fit_is_not_moved_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    full = FullDevice(WORK + 1000)
    index, exact = filled(full, 500)
    with caplog.at_level(logging.WARNING):
        moved(index)
    assert index.residence.rows is None
    assert full.taken == 0
    assert index.device == "cpu"
    assert index.device_reason is not None
    assert index.device_reason.startswith("500 vectors of 16 values in float16 need 2.50 GiB on cpu")
    assert index.device_reason in caplog.text
    check(index, exact)
    # Not asked again at once, but after a pause.
    index.search(embeddings(1, 5, DIMENSION), 1)
    assert not index.residence.wants(index._version, 500, None)


def test_a_device_is_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "_PAUSE", 0.0)
    full = FullDevice(WORK)
    index, exact = filled(full, 500)
    moved(index)
    assert index.residence.rows is None
    full.free = WORK + 10**6
    for _ in range(2):
        index.search(embeddings(1, 5, DIMENSION), 1)
    index.residence.settle()
    assert index.residence.rows is not None
    assert index.device_reason is None
    check(index, exact)


def test_a_device_that_fails_each_time_is_tried_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of an archive are not moved every minute for ever, to be found wanting."""
    now = [1000.0]
    monkeypatch.setattr(residence, "time", SimpleNamespace(monotonic=lambda: now[0]))
    full = FullDevice(WORK)
    index, _ = filled(full, 500)
    waited = []
    for _ in range(9):
        moved(index)
        begun = now[0]
        while not index.residence.wants(index._version, 500, None):
            now[0] += 30
        waited.append(now[0] - begun)
    assert waited == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    full.free = WORK + 10**6
    moved(index)
    assert index.residence.rows is not None
    index.residence.give_up(DeviceError("it is gone"))
    now[0] += 60
    assert index.residence.wants(index._version, 500, None)


@pytest.mark.parametrize("name", ["index-device", "index-device-rows"])
def test_a_process_that_may_have_no_more_threads_searches_on(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(residence, "_PAUSE", 0.0)
    index, exact = filled(ProcessorDevice(), 500)
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        moved(index)
        assert index.device_reason == "can't start new thread"
        check(index, exact)
    moved(index)
    assert index.residence.rows is not None
    check(index, exact)


def test_memory_that_runs_out_while_rows_move_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device does not say what is free, so that it shows in the midst."""
    monkeypatch.setattr(residence, "_CHUNK", 100)
    full = FullDevice(300 * DIMENSION * 2, known=False)
    index, exact = filled(full, 500)
    moved(index)
    assert index.residence.rows is None
    assert index.device_reason is not None
    assert "out of memory" in index.device_reason
    check(index, exact)
    freed(index, full)


def freed(index: GpuIndex, full: FullDevice) -> None:
    """What is let go of is freed by the owner, in its turn."""
    assert index.residence.owner is not None
    gc.collect()
    index.residence.owner.call(lambda: None)
    assert full.taken == 0


def test_memory_that_runs_out_for_rows_that_come_later_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "APPENDED", 20)
    full = FullDevice(550 * DIMENSION * 2, known=False)
    index, exact = filled(full, 500)
    moved(index)
    assert index.residence.rows is not None
    for one in (index, exact):
        one.add(np.arange(1000, 1100), embeddings(100, 3, DIMENSION))
    check(index, exact)
    moved(index)
    assert index.residence.rows is None
    check(index, exact)
    freed(index, full)


def test_memory_that_runs_out_in_a_search_costs_no_answer() -> None:
    full = FullDevice(10**9, known=False)
    index, exact = filled(full, 500)
    moved(index)
    check(index, exact)
    full.searches_fail = True
    check(index, exact)
    assert index.device == "cpu"
    assert index.device_reason is not None
    assert "cudaMalloc error out of memory" in index.device_reason
    check(index, exact)
    freed(index, full)


def test_closing_the_device_under_an_index_costs_no_answer() -> None:
    index, exact = filled(ProcessorDevice(), 300)
    moved(index)
    assert index.residence.owner is not None
    index.residence.owner.close()
    check(index, exact)
    assert index.device_reason == "the device was closed"
    moved(index)
    check(index, exact)


@every_device
def test_rows_that_wait_are_compared_on_the_host_until_they_are_many(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residence, "APPENDED", 50)
    index, exact = filled(devices.device(where), 400)  # type: ignore[arg-type]
    moved(index)
    rows = index.residence.rows
    assert rows is not None
    for start in range(1000, 1060, 20):
        for one in (index, exact):
            one.add(np.arange(start, start + 20), embeddings(20, start, DIMENSION))
        index.residence.settle()
        assert len(rows.stamps) == 400
        check(index, exact)
    index.residence.settle()
    check(index, exact)
    assert index.residence.rows is rows
    assert len(rows.stamps) == 460


@every_device
def test_tombstones_are_rebuilt_in_the_background_beyond_their_share(where: str) -> None:
    index, exact = filled(devices.device(where), 400)  # type: ignore[arg-type]
    moved(index)
    first = index.residence.rows
    for one in (index, exact):
        one.remove(np.arange(0, 90))
    check(index, exact)
    index.residence.settle()
    assert index.residence.rows is first
    for one in (index, exact):
        one.remove(np.arange(90, 150))
    check(index, exact)
    index.residence.settle()
    again = index.residence.rows
    assert again is not None
    assert again is not first
    assert again.stamps.tolist() == list(range(150, 400))
    check(index, exact)


def test_searches_go_on_while_rows_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    index, exact = filled(ProcessorDevice(), 400)
    moved(index)
    for one in (index, exact):
        one.remove(np.arange(200))
    go, begun = threading.Event(), threading.Event()
    append = DeviceRows.append

    def slowly(self: DeviceRows, stamps: np.ndarray, rows: np.ndarray) -> None:
        begun.set()
        assert go.wait(60)
        append(self, stamps, rows)

    monkeypatch.setattr(DeviceRows, "append", slowly)
    index.move()
    assert begun.wait(60)
    check(index, exact)
    assert index.residence.rows is not None
    assert len(index.residence.rows.stamps) == 400
    go.set()
    index.residence.settle()
    assert len(index.residence.rows.stamps) == 200
    check(index, exact)


def test_older_rows_make_room_where_both_do_not_fit() -> None:
    full = FullDevice(WORK + 900 * 36 + 500)
    index, exact = filled(full, 400)
    moved(index)
    first = index.residence.rows
    assert first is not None
    number = first.number
    del first
    for one in (index, exact):
        one.remove(np.arange(150))
    moved(index)
    assert index.residence.rows is not None, index.device_reason
    assert index.residence.rows.number != number
    check(index, exact)
    index.residence.rows = None
    freed(index, full)


@every_device
@pytest.mark.parametrize("recipe", [IVF_FLAT, IVF_PQ], ids=lambda one: one.name)
def test_lists_are_learnt_once_until_there_are_many_more_rows(
    where: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = devices.device(where)
    learnt: list[int] = []
    train = on.train

    def noted(lists: object, sample: np.ndarray) -> None:
        learnt.append(len(sample))
        train(lists, sample)

    monkeypatch.setattr(on, "train", noted)
    index, exact = filled(on, 600, recipe)  # type: ignore[arg-type]
    moved(index)
    assert index.residence.rows is not None, index.device_reason
    for one in (index, exact):
        one.remove(np.arange(300))
    moved(index)
    assert len(learnt) == 1
    for one in (index, exact):
        one.add(np.arange(1000, 4000), embeddings(3000, 2, DIMENSION))
        one.remove(np.arange(300, 600))
    moved(index)
    assert len(learnt) == 2
    check(index, exact)


def test_lists_that_do_not_find_enough_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tuned_probes", "residence"):
        monkeypatch.setattr(f"medsiglip.index.search.kinds.gpu.{module}.RECALL", 1.1)
    index, exact = filled(ProcessorDevice(), 600, IVF_FLAT)
    moved(index)
    assert index.residence.rows is None
    assert index.device_reason is not None
    assert index.device_reason.endswith("of the nearest only, all lists probed")
    found = index.search(embeddings(8, 5, DIMENSION), 6, exact=False)
    assert np.array_equal(found.ids, exact.search(embeddings(8, 5, DIMENSION), 6).ids)


class WrongDevice(ProcessorDevice):
    """Adds an error to scores, or leaves out the row that is nearest."""

    def __init__(self, error: float, leaves_out: bool) -> None:
        self.error, self.leaves_out = error, leaves_out

    def half_flat(self, dimension: int) -> object:
        made = super().half_flat(dimension)
        search = made.search

        def wrong(queries: np.ndarray, fetch: int, params: object = None) -> tuple[np.ndarray, np.ndarray]:
            scores, slots = search(queries, min(fetch + 1, made.ntotal), params=params)
            few = slice(1, fetch + 1) if self.leaves_out else slice(0, fetch)
            return scores[:, few] + np.float32(self.error), slots[:, few]

        made.search = wrong
        return made


@pytest.mark.parametrize(
    ("error", "leaves_out", "words"),
    [
        (0.01, False, "scores of cpu are off by up to 1.0e-02"),
        (-0.01, False, "scores of cpu are off by up to 1.0e-02"),
        (float("nan"), False, "scores of cpu are off"),
        (0.0, True, "cpu does not find rows that are among the nearest"),
    ],
)
def test_a_device_that_computes_otherwise_is_not_used(error: float, leaves_out: bool, words: str) -> None:
    index, exact = filled(WrongDevice(error, leaves_out), 400)
    moved(index)
    assert index.residence.rows is None
    assert index.device_reason is not None
    assert index.device_reason.startswith(words)
    check(index, exact)
    right, _ = filled(WrongDevice(0.0, False), 400)
    assert moved(right).residence.rows is not None


def test_an_older_copy_that_is_still_searched_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that came later are tombstones to it, and must not be taken off the device for that."""
    monkeypatch.setattr(residence, "APPENDED", 20)
    index, exact = filled(ProcessorDevice(), 300)
    moved(index)
    newer, right = index.copy(), exact.copy()
    for one in (newer, right):
        one.add(np.arange(1000, 1300), embeddings(300, 3, DIMENSION))
    moved(newer)
    rows = index.residence.rows
    assert rows is not None
    for _ in range(3):
        check(index, exact)
        check(newer, right)
        index.residence.settle()
    assert index.residence.rows is rows
    assert len(rows.stamps) == 600


def test_a_process_ends_while_rows_are_moved() -> None:
    """At once, and without a word."""
    program = (
        "import numpy as np, time\n"
        "from medsiglip.index.search.kinds.gpu.device import ProcessorDevice\n"
        "from medsiglip.index.search.kinds.gpu.recipes import FLAT\n"
        "from tests.index.search.kinds.gpu.devices import embeddings, gpu_index\n"
        "class Slow(ProcessorDevice):\n"
        "    def half_flat(self, dimension):\n"
        "        print('begun', flush=True); time.sleep(0.5)\n"
        "        return super().half_flat(dimension)\n"
        "index = gpu_index(FLAT, Slow(), 16)\n"
        "index.add(np.arange(500), embeddings(500, 1, 16))\n"
        "index.move()\n"
        "time.sleep(0.2)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\n", "")
