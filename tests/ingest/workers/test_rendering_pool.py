"""What is asked about, rendered in workers that are kept: the same pictures, and a fault is one file's."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions, Slice, Unit, plan
from medsiglip.ingest.units.rendered_image import FileOutcome
from medsiglip.ingest.workers.render_files import render_files
from medsiglip.ingest.workers.rendered_unit import render_for_display
from medsiglip.ingest.workers.rendering_pool import RenderingPool
from tests.ingest.read_files import found_files, headers_of


@pytest.fixture
def pool() -> Iterator[Any]:
    pool = RenderingPool(2)
    yield pool
    pool.close()


@pytest.fixture
def mixed(tmp_path: Path, write_dicom: Any, write_series: Any) -> Any:
    """A series with percentiles, a file of several frames, pictures, and what cannot be rendered."""
    rng = np.random.default_rng(1)
    write_series(tmp_path / "in" / "mr", 5, "MR")
    write_dicom(
        tmp_path / "in" / "us.dcm", rng.integers(0, 4096, (3, 20, 30), dtype=np.uint16), NumberOfFrames=3
    )
    write_dicom(tmp_path / "in" / "broken.dcm", np.zeros((4, 4), np.uint16), Rows=99)
    (tmp_path / "in" / "text.dcm").write_text("text")
    for name, shape in (("rgb.png", (31, 17, 3)), ("grey.png", (9, 14)), ("photo.jpg", (40, 50, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def told(rendered: Any) -> Any:
    """Everything that is told of one image or rejected file, in a form that compares."""
    if isinstance(rendered, Rejected):
        return rendered.path, rendered.code
    facts = {name: getattr(rendered, name) for name in rendered.__slots__ if name != "pixels"}
    return facts, rendered.pixels.shape, rendered.pixels.tobytes()


def in_order(images: Any) -> Any:
    return sorted(map(told, images), key=repr)


def children() -> Any:
    return {child.pid for child in psutil.Process().children()}


def hanging(tmp_path: Path) -> Any:
    """A unit of a file that never ends: whoever opens this pipe waits for a writer."""
    os.mkfifo(tmp_path / "pipe")
    header = Header(str(tmp_path / "pipe"), 1, 0, "dicom", "2.25.6", "2.25.7", "2.25.9", modality="CT")
    return Unit((header,), (Slice(0, 0, 0),))


def test_workers_render_what_this_process_renders(pool: Any, mixed: Any) -> None:
    here = in_order(render_files([mixed]))
    assert len(here) == 5 + 3 + 3 + 2
    assert in_order(render_files([mixed], rendering_pool=pool)) == here


def test_a_single_file_is_looked_at_and_rendered_in_one_go(pool: Any, mixed: Any) -> None:
    options, key, in_one_go = PlanOptions(), SecretKey(bytes(32)), 0
    for found in found_files(mixed):
        shown = pool.scan_and_render(found, key, options)
        in_one_go += shown is not None
        if shown is not None:
            assert shown[0] == scan_file(found, key)
        assert in_order(render_files([found.path], rendering_pool=pool)) == in_order(
            render_files([found.path])
        )
    assert in_one_go == 9  # all but the frames and what is no image


def test_workers_are_kept_and_shared_by_threads(pool: Any, mixed: Any) -> None:
    before = children()
    files = [mixed / name for name in ("us.dcm", "rgb.png", "grey.png", "photo.jpg", "broken.dcm")]
    here = [in_order(render_files([file])) for file in files]
    for _ in range(2):
        with ThreadPoolExecutor(5) as threads:
            there = threads.map(lambda file: in_order(render_files([file], rendering_pool=pool)), files)
            assert list(there) == here
        assert len(children() - before) <= 2


@pytest.mark.long
def test_a_file_that_hangs_is_rejected_alone_and_later_ones_are_rendered(
    pool: Any, mixed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("medsiglip.ingest.workers.pool.UNIT_SECONDS", 1.0)
    monkeypatch.setattr("medsiglip.ingest.workers.pool.CLOCK_FACTOR", 2.0)
    with ThreadPoolExecutor(2) as threads:
        stuck = threads.submit(lambda: list(pool.render(hanging(tmp_path))))
        beside = threads.submit(lambda: in_order(render_files([mixed], rendering_pool=pool)))
        assert stuck.result() == [FileOutcome(0, None, "decoder-timeout")]
        assert beside.result() == in_order(render_files([mixed]))
    assert in_order(render_files([mixed], rendering_pool=pool)) == in_order(render_files([mixed]))


def test_a_file_that_hangs_when_it_is_looked_at_is_rejected_alone(
    pool: Any, mixed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("medsiglip.ingest.workers.pool.UNIT_SECONDS", 1.0)
    monkeypatch.setattr("medsiglip.ingest.workers.pool.CLOCK_FACTOR", 2.0)
    path = hanging(tmp_path).headers[0].path
    key = SecretKey(bytes(32))
    assert pool.scan(FoundFile(path, 1, 0), key) == Rejected(path, "decoder-timeout")
    (found,) = found_files(mixed / "rgb.png")
    assert pool.scan(found, key) == scan_file(found, key)


def test_a_worker_that_was_killed_is_replaced(mixed: Any) -> None:
    pool = RenderingPool(1)
    before = children()
    file = mixed / "rgb.png"
    here = in_order(render_files([file]))
    assert in_order(render_files([file], rendering_pool=pool)) == here
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    assert in_order(render_files([file], rendering_pool=pool)) == here
    pool.close()
    assert children() == before


def test_plain_files_need_no_worker_where_that_is_allowed(mixed: Any) -> None:
    pool = RenderingPool(1, in_process=True)
    before = children()
    assert in_order(render_files([mixed / "us.dcm"], rendering_pool=pool))
    assert children() == before
    assert in_order(render_files([mixed / "photo.jpg"], rendering_pool=pool))
    assert len(children()) == len(before) + 1
    pool.close()


def test_closing_tells_those_who_wait(tmp_path: Path) -> None:
    pool = RenderingPool(1)
    errors = []

    def ask(unit: Any) -> None:
        with pytest.raises(IngestError) as caught:
            list(pool.render(unit))
        errors.append(caught.value.code)

    unit = hanging(tmp_path)
    threads = [threading.Thread(target=ask, args=(unit,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not pool._idle.empty():
        threads[0].join(0.01)
    pool.close()
    for thread in threads:
        thread.join()
    assert errors == ["shutting-down"] * 3


def test_more_than_may_be_shown_is_a_lack_of_memory(
    tmp_path: Path, write_dicom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dicom(tmp_path / "a.dcm", np.zeros((3, 20, 30), np.uint16), NumberOfFrames=3)
    (unit,) = plan(headers_of(tmp_path))
    memory = np.zeros(2000, np.uint8)
    assert render_for_display(unit, lambda shape: memory[: shape[0]]).inputs.shape == (3 * 20 * 30,)
    monkeypatch.setattr("medsiglip.ingest.workers.rendered_unit.MAX_DISPLAY_BYTES", 3 * 20 * 30 - 1)
    with pytest.raises(MemoryError):
        render_for_display(unit, lambda shape: memory[: shape[0]])
