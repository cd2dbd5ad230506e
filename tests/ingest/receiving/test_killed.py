"""Receivers that are killed in the middle: what was answered with success is on the disk, whole."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from pydicom import Dataset

from medsiglip.ingest.receiving.spool import ARRIVING, Spool
from tests.ingest.receiving.receivers import RunningReceiver, associated, data_set_of, store
from tests.ingest.receiving.slices import CT, SYNTAX, ct, encoded

# pynetdicom leaves the socket of a connection that ends early to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Sender(threading.Thread):
    """Sends slices of one study until it is told to stop, on a new association where one has ended."""

    def __init__(self, port: int, stopping: threading.Event) -> None:
        super().__init__()
        self.port, self.stopping = port, stopping
        self.answered: list[bytes] = []
        self.began = 0
        self._study = ct().StudyInstanceUID

    def run(self) -> None:
        while not self.stopping.is_set():
            with associated(self.port, [(CT, SYNTAX)]) as association:
                while association.is_established and not self.stopping.is_set():
                    if not self._send(association):
                        break

    def _send(self, association: object) -> bool:
        slice_: Dataset = ct(StudyInstanceUID=self._study, PixelData=bytes(100_000))
        data = encoded(slice_)
        self.began += 1
        status = store(association, (CT, SYNTAX), data, slice_.SOPInstanceUID)  # type: ignore[arg-type]
        if status == 0:
            self.answered.append(data)
        return status == 0


def test_a_kill_of_one_process_and_of_all_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    stopping = threading.Event()
    with RunningReceiver(tmp_path / "incoming", 2) as receiver:
        senders = [Sender(receiver.port, stopping) for _ in range(3)]
        for sender in senders:
            sender.start()
        try:
            for victims in (receiver.children[:1], receiver.children[1:]):
                wait_for_more(senders)
                for child in victims:
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    receiver.start_child()
            for child in list(receiver.children):
                child.kill()
            wait_for_more(senders, least=0)
            receiver.start_child()
            wait_for_more(senders)
        finally:
            stopping.set()
            for sender in senders:
                sender.join(60)
        answered = {data for sender in senders for data in sender.answered}
        kept = {data_set_of(file) for file in receiver.files()}
    assert answered <= kept
    assert len(kept) <= sum(sender.began for sender in senders)
    Spool(receiver.incoming, 1, 0).prepare()
    assert not list((receiver.incoming / ARRIVING).iterdir())


def wait_for_more(senders: list[Sender], least: int = 3) -> None:
    """Until each sender has been answered so often again, or for a moment."""
    counts = [len(sender.answered) for sender in senders]
    until = time.monotonic() + (30 if least else 0.3)
    while time.monotonic() < until:
        if least and all(len(one.answered) >= n + least for one, n in zip(senders, counts, strict=True)):
            return
        time.sleep(0.05)
    assert not least, "the senders are no longer answered"


def test_a_receiver_that_is_stopped_answers_what_it_has_begun_and_ends(tmp_path: Path) -> None:
    stopping = threading.Event()
    with RunningReceiver(tmp_path / "incoming", 1) as receiver:
        sender = Sender(receiver.port, stopping)
        sender.start()
        wait_for_more([sender])
        receiver.stop()
        stopping.set()
        sender.join(60)
    assert [child.returncode for child in receiver.children] == [0]
    assert {data_set_of(file) for file in receiver.files()} == set(sender.answered)
