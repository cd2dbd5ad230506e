"""Receiver, its processes and the worker are killed while senders send: at the end the archive holds what was
sent, each thing once, and every data set that was acknowledged lies there as it was sent.

The long form, `make receive-test`, sends all DICOM files of the test data.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.filereader import read_file_meta_info
from pydicom.uid import MediaStorageDirectoryStorage
from pynetdicom import AE, _config
from pynetdicom.transport import AssociationSocket

from medsiglip.api.archive.archive import Archive
from tests.api.jobs.conftest import write_files
from tests.api.receiving.conftest import data_set_of
from tests.api.receiving.running import receiving
from tests.api.service_processes import Started

LIMIT_SECONDS = 900.0


@pytest.fixture(scope="module", autouse=True)
def sockets_are_closed() -> Iterator[None]:
    """pynetdicom leaves a socket open that could not connect, because its shutdown raises."""

    def close(self: AssociationSocket) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AssociationSocket, "_shutdown_socket", close)
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=30)


MISMATCH, CANNOT_UNDERSTAND = 0xA900, 0xC000
REFUSALS = (MISMATCH, CANNOT_UNDERSTAND)


class Sender(threading.Thread):
    """Sends each file until it is acknowledged, on an association of its own, or refused for good."""

    def __init__(self, files: Sequence[Path], port: int) -> None:
        super().__init__(name="sender", daemon=True)
        self.left, self.port = list(files), port
        self.refused: dict[Path, int] = {}
        self._deadline = time.monotonic() + LIMIT_SECONDS

    def run(self) -> None:
        while self.left and time.monotonic() < self._deadline:
            status = send(self.left[-1], self.port)
            if status == 0 or status in REFUSALS:
                file = self.left.pop()
                if status in REFUSALS:
                    self.refused[file] = status
            else:
                time.sleep(0.1)


def send(file: Path, port: int) -> int:
    """The status that the receiver answered, or -1."""
    meta = read_file_meta_info(file)
    ae = AE("SENDER")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title="MEDSIGLIP")
    if not association.is_established:
        return -1
    try:
        return int(association.send_c_store(file).get("Status", -1))
    except (RuntimeError, ValueError):
        return -1
    finally:
        association.release()


def is_as_announced(file: Path) -> bool:
    """Whether the data set is the instance that the File Meta Information names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        meta = dataset.file_meta
        named = {dataset.get("SOPInstanceUID"), None, ""} >= {meta.MediaStorageSOPInstanceUID}
        return bool(named and dataset.get("SOPClassUID") == meta.MediaStorageSOPClassUID)


def can_be_sent(file: Path) -> bool:
    """Whether it is a file with the UIDs that a command needs."""
    try:
        meta = read_file_meta_info(file)
        names = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
        is_listing = meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage  # stored by nobody
        return not is_listing and all(meta.get(name) for name in names) and bool(data_set_of(file))
    except Exception:  # no DICOM file, or one without a preamble
        return False


class Programs:
    """A receiver and a worker of one home, that are killed and started again."""

    def __init__(self, home: Path, port: int) -> None:
        self._home, self._port = home, port
        self._running = {"receive": self._start("receive"), "worker": self._start("worker")}

    def _start(self, name: str) -> Started:
        words = ("--port", str(self._port), "--quiet", "0.5") if name == "receive" else ("--poll", "0.2")
        return Started(self._home, (name, *words), environment={"MEDSIGLIP_MIN_FREE_BYTES": "0"})

    def kill(self, which: str) -> None:
        """Kill a program, or one process below it, and start what does not start by itself."""
        name = "worker" if which == "worker" else "receive"
        started = self._running[name]
        if which == "child":
            below = [one for one in started.children() if "--inherit" in one.cmdline()]
            if below:
                below[0].kill()
            return
        children = started.children() if started.process.poll() is None else []
        started.process.kill()
        started.process.wait()
        psutil.wait_procs(children, 60)  # they end with it
        started.end()
        self._running[name] = self._start(name)

    def end(self) -> None:
        for started in self._running.values():
            started.end()


def killed_now_and_then(files: Sequence[Path], folder: Path, kills: int, seed: int) -> None:
    draw, home = random.Random(seed), folder / "home"
    refused: set[Path] = set()
    with receiving(home) as first:
        port = first.port
    _config.STORE_SEND_CHUNKED_DATASET = True
    programs, senders = Programs(home, port), list[Sender]()
    try:
        senders += [Sender(files[number::3], port) for number in range(3)]
        for sender in senders:
            sender.start()
        order = ["child", "receive", "worker"] * -(-kills // 3)
        for which in order[:kills]:
            time.sleep(draw.uniform(0.5, 4.0))
            programs.kill(which)
        for sender in senders:
            sender.join(LIMIT_SECONDS)
            assert sender.left == []
            for file, status in sender.refused.items():
                assert status == CANNOT_UNDERSTAND or not is_as_announced(file), file.name
            refused |= sender.refused.keys()
        deadline = time.monotonic() + LIMIT_SECONDS
        while not is_done(home):
            assert time.monotonic() < deadline, "not ingested in time"
            time.sleep(1)
    finally:
        programs.end()
        _config.STORE_SEND_CHUNKED_DATASET = False
    compare([file for file in files if file not in refused], home, folder / "at-once")


def is_done(home: Path) -> bool:
    """Whether nothing waits in the spool, nor as a job."""
    folders = [one for one in (home / "incoming").iterdir() if not one.name.startswith(".")]
    if folders or list((home / "received").glob("*.handed")):
        return False
    with Archive(home) as archive:
        counts = archive.index.jobs.counts()
        return sum(counts.values()) > 0 and {status for _, status in counts} == {"done"}


def compare(files: Sequence[Path], home: Path, at_once: Path) -> None:
    """The archive is that of one ingest of all files."""
    sent = at_once.parent / "sent"
    sent.mkdir()
    for number, file in enumerate(files):
        os.link(file, sent / f"{number}.dcm") if same_disk(file, sent) else shutil.copy(
            file, sent / f"{number}.dcm"
        )
    with Archive(home) as archive, Archive(at_once) as other:
        other.ingest([sent])
        assert contents(archive) == contents(other)
        assert archive.verify().ok
        assert archive.index.audit.verify().ok
    kept = {data_set_of(path) for path in (home / "received").rglob("*.dcm")}
    assert {data_set_of(path) for path in files} == kept


def same_disk(file: Path, folder: Path) -> bool:
    return file.stat().st_dev == folder.stat().st_dev


def contents(archive: Archive) -> list[tuple[str, str, str, str, int]]:
    """Every image; one that was there twice would be listed twice."""
    uids = [one.study_instance_uid for one in archive.studies().studies]
    return sorted(
        (one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid, one.pixel_hash, one.frame)
        for uid in uids
        for one in archive.study(uid).images
    )


@pytest.mark.long
def test_three_kills(tmp_path: Path) -> None:
    files = [*write_files(tmp_path / "ct", 1, "chest-ct"), *write_files(tmp_path / "skin", 3, "skin")]
    killed_now_and_then(files, tmp_path, 3, 1)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2])
def test_all_data_and_twelve_kills(tmp_path: Path, seed: int) -> None:
    data = os.environ.get("MEDSIGLIP_TEST_DATA")
    if data is None:
        pytest.skip("MEDSIGLIP_TEST_DATA is not set")
    found = sorted(path for path in (Path(data) / "dicom").rglob("*") if path.is_file() and can_be_sent(path))
    files = list({data_set_of(path): path for path in found}.values())
    assert len(files) > 60
    killed_now_and_then(files, tmp_path, 12, seed)
