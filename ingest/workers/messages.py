"""Messages between a run and its worker processes: a length (8 bytes, little endian) and a pickle, over a
pipe. Model inputs pass through a `SharedArray`.
"""

from __future__ import annotations

import pickle
import select
import struct
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, runtime_checkable

from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.units.plan import PlanOptions
from medsiglip.ingest.workers.rendered_unit import RenderedUnit

LENGTH = struct.Struct("<Q")
READY = "ready"


@runtime_checkable
class FileTask(Protocol):
    """Something to do with one file for somebody who waits for it, such as those of
    `medsiglip.ingest.retrieval.file_tasks`.
    """

    def perform(self) -> object:
        """Do it. Raises `DecodeError` for what the file holds."""
        ...


@dataclass(frozen=True, slots=True)
class ScanTask:
    """A file for `medsiglip.ingest.scan.scan.scan_file`; with `options` it is also rendered, if it makes one
    unit of one image.
    """

    found: FoundFile
    key: SecretKey
    options: PlanOptions | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a unit: `rendered`, with its inputs in the shared array, of this `shape`; or of a scanned
    file: `scanned`, and `rendered` if it was rendered too; or of a `FileTask`: `performed`. Without a result,
    `code` is the reason, one of `medsiglip.ingest.reasons`, or one of the task.

    `retires` says that the worker ends after this and has to be replaced.
    """

    rendered: RenderedUnit | None = None
    scanned: Header | Rejected | None = None
    shape: tuple[int, ...] = (0,)
    code: str = ""
    retires: bool = False
    performed: object = None


def send(stream: BinaryIO, message: Any, deadline: float | None = None) -> None:
    """Write one message. Raises TimeoutError at `deadline`, a moment of `time.monotonic`; with a deadline the
    stream must not block.
    """
    packed = pickle.dumps(message, protocol=5)
    left = memoryview(LENGTH.pack(len(packed)) + packed)
    while left:
        left = left[stream.write(left) or 0 :]
        if left and deadline is not None and not _is_ready(stream, select.POLLOUT, deadline):
            raise TimeoutError


def receive(stream: BinaryIO, deadline: float | None = None) -> Any:
    """Read one message.

    Raises EOFError at the end of the stream or in the middle of a message, TimeoutError at `deadline`, a
    moment of `time.monotonic`.
    """
    (size,) = LENGTH.unpack(_exactly(stream, LENGTH.size, deadline))
    return pickle.loads(_exactly(stream, size, deadline))  # both ends of the pipe are this program


def _exactly(stream: BinaryIO, size: int, deadline: float | None) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        if deadline is not None and not _is_ready(stream, select.POLLIN, deadline):
            raise TimeoutError
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count
    return buffer


def _is_ready(stream: BinaryIO, event: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(stream, event)
    return bool(poll.poll(max(deadline - time.monotonic(), 0.0) * 1000.0))
