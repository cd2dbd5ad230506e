"""Receivers in processes of their own, and senders."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from medsiglip.ingest.receiving.listening import bind
from tests.waiting import eventually

CHILD = Path(__file__).with_name("child.py")
AE_TITLE = "MEDSIGLIP"


class RunningReceiver:
    """Processes behind one port, with what they say."""

    def __init__(self, folder: Path, processes: int = 1, **options: Any) -> None:
        self.incoming = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._options = {"min_free_bytes": 0, **options}
        self._listener = bind("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[str] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self._readers: list[threading.Thread] = []
        for _ in range(processes):
            self.start_child()
        self.wait_for("ready", processes)

    def start_child(self) -> None:
        descriptor = self._listener.fileno()
        child = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(CHILD),
                str(descriptor),
                str(self.incoming),
                json.dumps(self._options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor],
        )
        self.children.append(child)
        reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                self.lines.append(line.decode().strip())

    def wait_for(self, beginning: str, count: int = 1, seconds: float = 20) -> list[str]:
        """The lines that begin so, when there are `count` of them."""
        until = time.monotonic() + seconds
        while True:
            found = [line for line in self.lines if line.startswith(beginning)]
            if len(found) >= count:
                return found
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} lines {beginning!r} of {self.lines}")
            time.sleep(0.02)

    def files(self) -> list[Path]:
        return sorted(self.incoming.glob("[0-9a-f]*/*.dcm"))

    def stop(self) -> None:
        for child in self.children:
            if child.stdin is not None:
                child.stdin.close()
        for child in self.children:
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for reader in self._readers:
            reader.join(10)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run_dcmtk(
    program: str, port: int, *words: str | Path, calling: str = "SENDER", called: str = AE_TITLE
) -> subprocess.CompletedProcess[str]:
    """Run a program of dcmtk against a port of this machine."""
    command = [program, "-v", "-aet", calling, "-aec", called, "127.0.0.1", str(port), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@contextmanager
def associated(
    port: int, contexts: Iterable[tuple[str, str]], calling: str = "SENDER", **options: Any
) -> Iterator[Association]:
    """An association of pynetdicom that proposes pairs of SOP class and transfer syntax."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    for sop_class, syntax in dict.fromkeys(contexts):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port, ae_title=AE_TITLE, **options)
    # pynetdicom does not close the socket of an association that the other side has ended.
    transport = association.dul.socket
    connection = None if transport is None else transport.socket
    # Its own thread leaves what comes to the caller, as while pynetdicom waits for an answer.
    association._reactor_checkpoint.clear()
    if association.is_established:
        eventually(lambda: association._is_paused, 10)
    try:
        yield association
    finally:
        association._reactor_checkpoint.set()
        if association.is_established:
            association.release()
        if connection is not None:
            connection.close()


def store(
    association: Association, context: tuple[str, str], data: bytes, instance: str | None, named: str = ""
) -> int:
    """Send these bytes as the data set of an instance, whatever they are, in the context of a SOP class (or
    of one that the command names) and a transfer syntax; the status.
    """
    [accepted] = [
        one
        for one in association.accepted_contexts
        if (one.abstract_syntax, one.transfer_syntax[0]) == context and one.context_id is not None
    ]
    request: Any = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = named or context[0]
    if instance is not None:
        request.AffectedSOPInstanceUID = instance
    request.DataSet = BytesIO(data)
    association.dimse.send_msg(request, accepted.context_id or 0)
    answer: Any = association.dimse.get_msg(block=True)[1]
    return -1 if answer is None else int(answer.Status)


def data_set_of(file: Path) -> bytes:
    """The bytes behind the File Meta Information."""
    content = file.read_bytes()
    length = int.from_bytes(content[140:144], "little")
    assert content[132:140] == b"\x02\0\0\0UL\x04\0"
    return content[144 + length :]
