from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest

from medsiglip.ingest.child_process import start_module
from medsiglip.ingest.errors import IngestError, WorkerLostError
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.units.plan import Slice, Unit, plan
from medsiglip.ingest.workers.isolation import render_or_isolate
from medsiglip.ingest.workers.pool import Worker, WorkerPool, seconds_allowed
from medsiglip.ingest.workers.rendered_unit import render_unit
from tests.ingest.read_files import headers_of

SIZE, PROFILE = 32, "medsiglip-eval"


def hanging(tmp_path: Path, name: Any = "pipe") -> Any:
    """The header of a file that never ends: whoever opens this pipe waits for a writer."""
    os.mkfifo(tmp_path / name)
    return Header(str(tmp_path / name), 1, 0, "dicom", "2.25.666", "2.25.7", "2.25.97", modality="CT")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("medsiglip.ingest.workers.pool.CLOCK_FACTOR", 2.0)
    worker = Worker(SIZE, PROFILE, lambda unit: 1.0)
    yield worker
    worker.release()


def test_a_worker_renders_what_this_process_renders(tmp_path: Path, worker: Any, write_series: Any) -> None:
    write_series(tmp_path, 4)
    (unit,) = plan(headers_of(tmp_path))
    here, there = render_unit(unit, SIZE, PROFILE), worker.render(unit)
    np.testing.assert_array_equal(there.inputs, here.inputs)
    assert (there.files, there.images) == (here.files, here.images)


@pytest.mark.parametrize(("kills", "starts"), [(2, True), (3, False)])
def test_a_process_that_is_killed_while_it_starts_is_started_again(
    tmp_path: Path, worker: Any, write_series: Any, monkeypatch: pytest.MonkeyPatch, kills: int, starts: bool
) -> None:
    write_series(tmp_path, 2)
    (unit,) = plan(headers_of(tmp_path))
    killed: list[int] = []

    def start(*given: Any, **options: Any) -> Any:
        process = start_module(*given, **options)
        if len(killed) < kills:
            process.kill()
            killed.append(process.pid)
        return process

    monkeypatch.setattr("medsiglip.ingest.workers.pool.start_module", start)
    if starts:
        assert worker.render(unit).images
    else:
        with pytest.raises(IngestError) as error:
            worker.render(unit)
        assert error.value.code == "worker-start-failed"
    assert len(killed) == kills


def test_a_worker_that_ends_by_itself_as_it_starts_is_started_once(
    write_series: Any, tmp_path: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, 2)
    (unit,) = plan(headers_of(tmp_path))
    started: list[str] = []

    def start(module: str, words: Any, **options: Any) -> Any:
        started.append(module)
        return start_module("ended_at_once", words, **options)

    (tmp_path / "ended_at_once.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("medsiglip.ingest.workers.pool.start_module", start)
    with pytest.raises(IngestError) as error:
        worker.render(unit)
    assert (error.value.code, len(started)) == ("worker-start-failed", 1)


def test_inputs_stay_as_they_are_when_the_worker_renders_on(
    tmp_path: Path, worker: Any, write_series: Any
) -> None:
    """The shared memory is used again, and grows for a longer series."""
    for number, count in enumerate((2, 5, 3)):
        write_series(tmp_path, count, uid=50 + number)
    units = plan(headers_of(tmp_path))
    rendered = [worker.render(unit).inputs for unit in units]
    for unit, inputs in zip(units, rendered, strict=True):
        np.testing.assert_array_equal(inputs, render_unit(unit, SIZE, PROFILE).inputs)


def test_a_hanging_file_is_quarantined_and_the_worker_replaced(
    tmp_path: Path, worker: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 2)
    stuck = Unit((hanging(tmp_path),), (Slice(0, 0, 0),))
    assert [f.code for f in render_or_isolate(worker.render, stuck).files] == ["decoder-timeout"]
    (unit,) = plan(headers_of(tmp_path / "in"))
    assert len(render_or_isolate(worker.render, unit).images) == 2


def test_what_takes_too_much_processor_time_is_ended(tmp_path: Path, write_series: Any) -> None:
    """The worker ends itself, well before the clock says that it hangs."""
    write_series(tmp_path / "in", 40)
    write_series(tmp_path / "one", 1, uid=70)
    (long,) = plan(headers_of(tmp_path / "in"))
    (short,) = plan(headers_of(tmp_path / "one"))
    worker = Worker(SIZE, PROFILE, lambda unit: 0.01 if unit is long else 60.0)
    worker.render(short)
    first = psutil.Process(worker.process_id)
    with pytest.raises(WorkerLostError) as caught:
        worker.render(long)
    assert caught.value.code == "decoder-timeout"
    assert not first.is_running()
    assert len(worker.render(short).images) == 1
    worker.release()


@pytest.mark.long
def test_a_machine_with_other_work_costs_no_file(tmp_path: Path, write_series: Any) -> None:
    """A worker that gets no processor for longer than its processor time (it is stopped) is waited for."""
    write_series(tmp_path, 2)
    (unit,) = plan(headers_of(tmp_path))
    worker = Worker(SIZE, PROFILE, lambda unit: 1.5)
    worker.render(unit)
    process = worker.process_id
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    threading.Timer(3.0, lambda: os.kill(process, signal.SIGCONT)).start()
    assert len(worker.render(unit).images) == 2
    assert worker.process_id == process
    worker.release()


@pytest.mark.long
def test_a_worker_that_stops_reading_is_noticed(tmp_path: Path, worker: Any, write_series: Any) -> None:
    """A stopped process takes in what a pipe holds, and no more."""
    write_series(tmp_path, 1)
    (unit,) = plan(headers_of(tmp_path))
    worker.render(unit)
    os.kill(worker.process_id, signal.SIGSTOP)
    long = Unit(unit.headers * 2000, unit.slices)
    with pytest.raises(WorkerLostError) as caught:
        worker.render(long)
    assert caught.value.code == "decoder-timeout"
    assert len(worker.render(unit).images) == 1


def test_a_crash_is_noticed(tmp_path: Path, write_series: Any) -> None:
    worker = Worker(SIZE, PROFILE, lambda unit: 60.0)
    write_series(tmp_path / "in", 1)
    (unit,) = plan(headers_of(tmp_path / "in"))
    worker.render(unit)
    stuck = Unit((hanging(tmp_path),), (Slice(0, 0, 0),))
    process = worker.process_id
    assert process is not None
    threading.Timer(0.3, lambda: os.kill(process, signal.SIGSEGV)).start()
    with pytest.raises(WorkerLostError) as caught:
        worker.render(stuck)
    assert caught.value.code == "decoder-crashed"
    assert len(worker.render(unit).images) == 1
    worker.release()


def test_a_file_whose_worker_was_killed_by_somebody_else_is_rendered_all_the_same(
    tmp_path: Path, write_series: Any
) -> None:
    write_series(tmp_path, 1)
    (unit,) = plan(headers_of(tmp_path))
    calls = []

    def killed_once(unit: Any) -> Any:
        calls.append(unit)
        if len(calls) == 1:
            raise WorkerLostError("decoder-crashed")
        return render_unit(unit, SIZE, PROFILE)

    assert [f.code for f in render_or_isolate(killed_once, unit).files] == [None]


def test_one_bad_file_does_not_cost_its_series(tmp_path: Path, worker: Any, write_series: Any) -> None:
    write_series(tmp_path / "in", 1)
    (unit,) = plan([*headers_of(tmp_path / "in"), hanging(tmp_path)])
    rendered = render_or_isolate(worker.render, unit)
    by_name = {os.path.basename(unit.headers[f.file].path): f.code for f in rendered.files}
    assert by_name.pop("pipe") == "decoder-timeout"
    assert set(by_name.values()) == {None}
    assert len(rendered.images) == len(rendered.inputs) == 1
    expected = render_unit(plan(headers_of(tmp_path / "in"))[0], SIZE, PROFILE)
    hashes = {unit.headers[f.file].path: f.pixel_hash for f in rendered.files}
    assert len(set(hashes.values())) == 2
    np.testing.assert_array_equal(rendered.inputs, expected.inputs)


@pytest.mark.parametrize("bad", [{17}, {0, 63}, {5, 6, 40}])
def test_few_workers_are_lost_over_a_long_series(tmp_path: Path, write_series: Any, bad: Any) -> None:
    paths = write_series(tmp_path, 64)
    (unit,) = plan(headers_of(tmp_path))
    names = {str(path) for number, path in enumerate(paths) if number in bad}
    losses = 0

    def render(part: Any) -> Any:
        nonlocal losses
        if names & {header.path for header in part.headers}:
            losses += 1
            raise WorkerLostError("decoder-timeout")
        return render_unit(part, SIZE, PROFILE)

    rendered = render_or_isolate(render, unit)
    assert {unit.headers[f.file].path for f in rendered.files if f.code} == names
    assert len(rendered.images) == 64 - len(bad)
    assert losses <= 1 + 6 * len(bad)


def test_a_series_of_bad_files_costs_a_bounded_number_of_workers(tmp_path: Path, write_series: Any) -> None:
    write_series(tmp_path, 100)
    (unit,) = plan(headers_of(tmp_path))
    losses = 0

    def render(part: Any) -> NoReturn:
        nonlocal losses
        losses += 1
        raise WorkerLostError("decoder-timeout")

    rendered = render_or_isolate(render, unit)
    assert sorted(f.file for f in rendered.files) == list(range(100))
    assert {f.code for f in rendered.files} == {"decoder-timeout"}
    assert losses <= 32


def test_an_ordinary_file_is_cut_off_well_within_ten_seconds() -> None:
    claims_much = Header("x", 500_000, 0, "dicom", "1", "2", "3", rows=65535, columns=65535)
    assert seconds_allowed(Unit((claims_much,), tuple(Slice(0, f, None) for f in range(85)))) < 10
    slide = Header("x", 2 << 30, 0, "dicom", "1", "2", "3", rows=512, columns=512)
    assert seconds_allowed(Unit((slide,), tuple(Slice(0, f, None) for f in range(2000)))) > 200


GREEDY = """
import numpy as np
import medsiglip.ingest.workers.worker as worker
worker.MAX_MEMORY = 600 << 20
worker.render_unit = lambda *given: np.ones(1 << 30, np.uint8)
worker.main()
"""


def test_a_file_that_needs_too_much_memory_is_rejected_by_its_code(
    tmp_path: Path, write_series: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "in", 1)
    (unit,) = plan(headers_of(tmp_path / "in"))
    (tmp_path / "greedy.py").write_text(GREEDY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(
        "medsiglip.ingest.workers.pool.start_module",
        lambda module, words, **given: start_module("greedy", words, **given),
    )
    greedy = Worker(SIZE, PROFILE, lambda unit: 20.0)
    assert [f.code for f in render_or_isolate(greedy.render, unit).files] == ["decoder-memory"]
    greedy.release()


def test_the_pool_yields_every_unit_once(tmp_path: Path, write_dicom: Any) -> None:
    for n in range(40):
        write_dicom(tmp_path / f"{n}.dcm", np.full((8, 8), n, np.uint16) + np.eye(8, dtype=np.uint16))
    units = plan(headers_of(tmp_path))
    rendered = list(WorkerPool(2, SIZE, PROFILE).render_all(units))
    assert sorted(unit.headers[0].path for unit, _ in rendered) == sorted(u.headers[0].path for u in units)


def test_leaving_early_ends_the_workers_and_closes_their_slots(tmp_path: Path, write_dicom: Any) -> None:
    for n in range(10):
        write_dicom(tmp_path / f"{n}.dcm", np.full((8, 8), n, np.uint16))
    before = threading.active_count(), psutil.Process().num_fds()
    units = WorkerPool(2, SIZE, PROFILE).render_all(plan(headers_of(tmp_path)))
    next(units)
    units.close()
    assert (threading.active_count(), psutil.Process().num_fds()) == before


ORPHANS = """
import os, sys
from medsiglip.ingest.workers.pool import Worker
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.units.plan import Slice, Unit
worker = Worker(32, "medsiglip-eval", lambda unit: 1.0)
worker._running()
print(worker.process_id, os.fstat(worker._shared.descriptor).st_ino, flush=True)
header = Header(sys.argv[1], 1, 0, "dicom", "2.25.666", "2.25.7", "2.25.97", modality="CT")
if sys.argv[2] == "busy":
    worker._seconds = lambda unit: 0.5
    worker.render(Unit((header,), (Slice(0, 0, 0),)))
sys.stdin.read()
"""


def open_files(process: Any) -> Any:
    """Inodes of what a process holds open, the anonymous among it; Linux tells."""
    folder = Path(f"/proc/{process.pid}/fd")
    try:
        return {entry.stat().st_ino for entry in folder.iterdir() if "memfd" in os.readlink(entry)}
    except OSError:
        return set()


@pytest.mark.long(every=2)
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="looks into /proc for anonymous memory")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_killed_run_leaves_no_process_and_no_shared_memory_behind(tmp_path: Path, state: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHANS, str(tmp_path / "pipe"), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    number, inode = map(int, run.stdout.readline().split())
    worker = psutil.Process(number)
    assert inode in open_files(worker)
    if state == "busy":
        time.sleep(0.2)
    run.kill()
    run.communicate()
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert not any(inode in open_files(process) for process in psutil.process_iter())
