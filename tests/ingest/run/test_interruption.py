from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.engines.local import FIRST_TOGETHER
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.ingest.run.interruption import interruptible
from medsiglip.ingest.run.pipeline import ingest
from tests.repository import ROOT

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)
SCRIPT = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    sys.path[:0] = json.loads(sys.argv[3])
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.errors import IngestError
    from medsiglip.ingest.run.pipeline import IngestOptions, ingest
    from ingest_test_conftest import Encoder, Model

    class Slow(Encoder):
        def encode_images(self, images):
            print("encoding", flush=True)
            time.sleep(0.2)
            return super().encode_images(images)

    def slowly(*given):
        print("committing", flush=True)
        time.sleep(60 if sys.argv[4] == "stuck" else 0.3)
        return add(*given)

    with CaseIndex.open(Path(sys.argv[1])) as index:
        add, index.add = index.add, slowly
        try:
            ingest([sys.argv[2]], index, Model(), Slow, IngestOptions(workers=2))
        except IngestError as error:
            print(error.code, str(error))
            sys.exit(130)
    """
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """An ingest in a process of its own, which tells when it encodes and when it commits."""
    shutil.copy(ROOT / "tests" / "ingest" / "conftest.py", tmp_path / "ingest_test_conftest.py")
    paths = json.dumps([str(tmp_path), *filter(None, sys.path)])
    begun = []

    def start(how: Any = "slow") -> Any:
        # A shell starts its background jobs with Ctrl-C ignored.
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(tmp_path / "in"), paths, how],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(process: Any, word: Any) -> None:
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"ended without {word}")


@pytest.mark.long(every=2)
@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, "encoding"), (signal.SIGTERM, "committing")])
def test_a_stopped_run_keeps_what_was_encoded_and_goes_on(
    tmp_path: Path, model: Any, encoder: Any, start: Any, write_dicom: Any, number: Any, moment: Any
) -> None:
    for n in range(200):
        write_dicom(tmp_path / "in" / f"{n:03d}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.4{n}")
    process = start()
    wait_for(process, "committing")
    if moment == "encoding":
        wait_for(process, "encoding")
    workers = psutil.Process(process.pid).children()
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted Stopped;")
    assert "Run the same command again" in said
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() for worker in workers)
    with CaseIndex.open(tmp_path / "home") as index:
        held = index.info().images
        assert FIRST_TOGETHER <= held < 200
        assert f" {held} more images" in said
        report = ingest([tmp_path / "in"], index, model, lambda: encoder)
        assert (report.images, report.embedded) == (200, 200 - held)
        assert index.verify().ok


@pytest.mark.long
def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, start: Any, write_dicom: Any) -> None:
    for n in range(70):
        write_dicom(tmp_path / "in" / f"{n:03d}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.4{n}")
    process = start("stuck")
    wait_for(process, "committing")
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() for worker in workers)


def test_what_is_held_is_finished_first() -> None:
    done = []

    def in_hand(interruption: Any) -> None:
        with interruption.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("finished")
        done.append("never")

    with interruptible() as interruption, pytest.raises(KeyboardInterrupt):
        in_hand(interruption)
    assert done == ["finished"]


def test_a_swallowed_interrupt_is_raised_again() -> None:
    with interruptible() as interruption:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_handlers_are_put_back_and_an_inner_run_shares_the_outer_one() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible() as outer, interruptible() as inner:
        assert inner is outer
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_interrupting_a_run_in_this_process(
    tmp_path: Path, model: Any, encoder: Any, write_dicom: Any
) -> None:
    for n in range(100):
        write_dicom(tmp_path / "in" / f"{n:03d}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.4{n}")

    class Impatient:
        calls = 0

        def encode_images(self, images: Any) -> Any:
            self.calls += 1
            if self.calls == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return encoder.encode_images(images)

    impatient = Impatient()
    with CaseIndex.open(tmp_path / "home") as index:
        with pytest.raises(InterruptedIngestError, match="again") as caught:
            ingest([tmp_path / "in"], index, model, lambda: impatient)
        assert caught.value.code == "interrupted"
        assert index.info().images == FIRST_TOGETHER
        report = ingest([tmp_path / "in"], index, model, lambda: encoder)
        assert (report.images, report.embedded) == (100, 100 - FIRST_TOGETHER)
