from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from ingest._pool import Worker, WorkerPool, draw_or_isolate
from ingest.deidentify import SecretKey
from ingest.drawn_unit import draw_unit
from ingest.header import Header
from ingest.plan import Slice, Unit, plan
from ingest.scan import scan_file
from ingest.walk import walk

SIZE, PROFILE = 32, "medsiglip-eval"


def headers_of(folder):
    return [scan_file(found, SecretKey(b"k" * 32)) for found in walk([folder])]


def hanging(tmp_path, name="pipe"):
    """The header of a file that never ends: whoever opens this pipe waits for a writer."""
    os.mkfifo(tmp_path / name)
    return Header(str(tmp_path / name), 1, 0, "dicom", "2.25.666", "2.25.7", "2.25.97", modality="CT")


@pytest.fixture
def worker():
    worker = Worker(SIZE, PROFILE, timeout_s=2.0)
    yield worker
    worker.close()
    worker.end()


def test_a_worker_draws_what_this_process_draws(tmp_path, worker, write_series):
    write_series(tmp_path, 4)
    (unit,) = plan(headers_of(tmp_path))
    here, there = draw_unit(unit, SIZE, PROFILE), worker.draw(unit)
    np.testing.assert_array_equal(there.inputs, here.inputs)
    assert (there.files, there.images) == (here.files, here.images)


def test_a_hanging_file_is_quarantined_and_the_worker_replaced(tmp_path, worker, write_series):
    write_series(tmp_path / "in", 2)
    stuck = Unit((hanging(tmp_path),), (Slice(0, 0, 0),))
    assert [f.code for f in draw_or_isolate(worker, stuck).files] == ["decoder-timeout"]
    (unit,) = plan(headers_of(tmp_path / "in"))
    assert len(draw_or_isolate(worker, unit).images) == 2


def test_a_crash_is_noticed(tmp_path, write_series):
    worker = Worker(SIZE, PROFILE, timeout_s=60.0)
    write_series(tmp_path / "in", 1)
    (unit,) = plan(headers_of(tmp_path / "in"))
    worker.draw(unit)
    stuck = Unit((hanging(tmp_path),), (Slice(0, 0, 0),))

    def crash():
        time.sleep(0.3)
        os.kill(worker.process_id, signal.SIGSEGV)

    thread = threading.Thread(target=crash)
    thread.start()
    assert [f.code for f in draw_or_isolate(worker, stuck).files] == ["decoder-crashed"]
    thread.join()
    assert len(worker.draw(unit).images) == 1
    worker.close()
    worker.end()


def test_one_bad_file_does_not_cost_its_series(tmp_path, worker, write_series):
    write_series(tmp_path / "in", 3)
    (unit,) = plan([*headers_of(tmp_path / "in"), hanging(tmp_path)])
    drawn = draw_or_isolate(worker, unit)
    by_name = {os.path.basename(unit.headers[f.file].path): f.code for f in drawn.files}
    assert by_name.pop("pipe") == "decoder-timeout"
    assert set(by_name.values()) == {None}
    assert len(drawn.images) == len(drawn.inputs) == 3
    expected = draw_unit(plan(headers_of(tmp_path / "in"))[0], SIZE, PROFILE)
    hashes = {unit.headers[f.file].path: f.pixel_hash for f in drawn.files}
    assert len(set(hashes.values())) == 4
    np.testing.assert_array_equal(
        np.sort(drawn.inputs.reshape(3, -1), axis=0), np.sort(expected.inputs.reshape(3, -1), axis=0)
    )


def test_the_pool_yields_every_unit_once(tmp_path, write_dicom):
    for n in range(40):
        write_dicom(tmp_path / f"{n}.dcm", np.full((8, 8), n, np.uint16) + np.eye(8, dtype=np.uint16))
    units = plan(headers_of(tmp_path))
    drawn = list(WorkerPool(2, SIZE, PROFILE).draw_all(units))
    assert sorted(unit.headers[0].path for unit, _ in drawn) == sorted(u.headers[0].path for u in units)


def test_leaving_early_ends_the_workers(tmp_path, write_dicom):
    for n in range(10):
        write_dicom(tmp_path / f"{n}.dcm", np.full((8, 8), n, np.uint16))
    before = threading.active_count()
    units = WorkerPool(2, SIZE, PROFILE).draw_all(plan(headers_of(tmp_path)))
    next(units)
    units.close()
    assert threading.active_count() == before
