"""The worker process: reads units from standard input, writes drawn units to standard output.

A message is two lengths (8 bytes each, little endian), a pickle and the bytes of the model inputs, which so
cross the pipe without being pickled. Nothing here imports torch.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from ingest.drawn_unit import DrawnUnit, draw_unit

LENGTHS = struct.Struct("<QQ")
READY = "ready"


def send(stream: BinaryIO, message: Any, raw: bytes = b"") -> None:
    """Write one message and flush."""
    packed = pickle.dumps(message, protocol=5)
    stream.write(LENGTHS.pack(len(packed), len(raw)) + packed)
    if raw:
        stream.write(raw)
    stream.flush()


def receive(stream: BinaryIO, deadline: float | None = None) -> tuple[Any, bytearray]:
    """Read one message.

    Raises EOFError at the end of the stream or in the middle of a message, TimeoutError at `deadline`, a
    moment of `time.monotonic`.
    """
    packed_size, raw_size = LENGTHS.unpack(_exactly(stream, LENGTHS.size, deadline))
    message = pickle.loads(_exactly(stream, packed_size, deadline))  # both ends of the pipe are this program
    return message, _exactly(stream, raw_size, deadline)


def _exactly(stream: BinaryIO, size: int, deadline: float | None) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        if deadline is not None and not _comes_until(stream, deadline):
            raise TimeoutError
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count
    return buffer


def _comes_until(stream: BinaryIO, deadline: float) -> bool:
    return bool(select.select([stream], [], [], max(deadline - time.monotonic(), 0.0))[0])


def _serve(source: BinaryIO, sink: BinaryIO, size: int, profile: str) -> None:
    send(sink, READY)
    while True:
        try:
            unit, _ = receive(source)
        except EOFError:
            return
        try:
            drawn = draw_unit(unit, size, profile)
        except Exception:  # the parent narrows it down to a file
            send(sink, None)
            continue
        facts = DrawnUnit(drawn.files, drawn.images, np.zeros((0, 1, 1, 3), np.uint8))
        send(
            sink,
            facts,
            drawn.inputs.tobytes() if len(drawn.images) else b"",
        )


def main() -> None:
    """Serve until standard input ends; decoders that print are kept off the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    sink = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    _serve(source, sink, int(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
