"""The upper layer of an association that another AE has opened (PS3.8, section 9): PDUs on a connection.

pynetdicom's codecs read and write the PDUs of its negotiation. Data are read into one buffer of the size that
was announced, so that memory does not depend on what a sender says.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_PDU = 1 << 17  # what dcmtk sends at most (dcmtk 3.6, dulstruc.h, MAX_PDULENGTH)
# 128 presentation contexts with 100 transfer syntaxes of 64 characters each, and as much again.
MAX_NEGOTIATION = 2 << 20
ASSOCIATE_RQ, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 1, 3, 4, 5, 6, 7
_HEADER = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_TICK_SECONDS = 0.5
_OWN_DATA = 1 << 14


class ClosedError(Exception):
    """The other side has closed or aborted, or was silent for too long: nothing can be answered."""


class ProtocolError(Exception):
    """What came is no PDU, or none that may come now: the association is aborted."""


class Fragment(NamedTuple):
    """A presentation data value (PS3.8, 9.3.5.1 and annex E.2). `data` is valid until the next PDU."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class UpperLayer:
    """PDUs on an accepted connection. `network_seconds` bounds each PDU, not each byte."""

    def __init__(self, connection: socket.socket, network_seconds: float) -> None:
        self._connection = connection
        self._network_seconds = network_seconds
        self._buffer = memoryview(bytearray(MAX_PDU))
        self.longest_sent = MAX_PDU
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(network_seconds)

    def wait(self, seconds: float, on_tick: Callable[[], bool]) -> None:
        """Wait until something comes. `on_tick` is asked meanwhile whether the association may go on.

        Raises `ClosedError` after so many seconds, and `ProtocolError` where it may not.
        """
        until = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        pending = getattr(self._connection, "pending", None)
        while not (pending is not None and pending()):
            left = until - time.monotonic()
            if left <= 0:
                raise ProtocolError
            if poll.poll(1000 * min(left, _TICK_SECONDS)):
                return
            if not on_tick():
                raise ProtocolError

    def read(self, longest_negotiation: int = 0) -> tuple[int, memoryview]:
        """The type and content of the next PDU, P-DATA-TF at most as long as was announced."""
        until = time.monotonic() + self._network_seconds
        self._fill(self._buffer[: _HEADER.size], until)
        kind, length = _HEADER.unpack_from(self._buffer)
        if not 1 <= kind <= ABORT:
            raise ProtocolError
        if length <= len(self._buffer):
            content = self._buffer[:length]
        elif length <= longest_negotiation:
            content = memoryview(bytearray(length))
        else:
            raise ProtocolError
        self._fill(content, until)
        return kind, content

    def _fill(self, content: memoryview, until: float) -> None:
        read = 0
        try:
            while read < len(content):
                self._connection.settimeout(max(until - time.monotonic(), 0.001))
                count = self._connection.recv_into(content[read:])
                if not count:
                    raise ClosedError
                read += count
        except OSError:
            raise ClosedError from None

    def send(self, pdu: bytes) -> None:
        """Send a whole PDU; raises `ClosedError`."""
        try:
            self._connection.settimeout(self._network_seconds)
            self._connection.sendall(pdu)
        except OSError:
            raise ClosedError from None

    def send_message(self, context_id: int, command: bytes, data: bytes = b"") -> None:
        """Send a command, and the data set that follows it, in PDUs that the other side takes."""
        longest = min(self.longest_sent or _OWN_DATA, _OWN_DATA) - _PDV.size
        for is_command, content in ((1, command), (0, data)):
            for start in range(0, len(content), longest):
                part = content[start : start + longest]
                control = is_command | (2 if start + longest >= len(content) else 0)
                value = _PDV.pack(len(part) + 2, context_id, control) + part
                self.send(_HEADER.pack(P_DATA, len(value)) + value)

    def reject(self, result: int, source: int, reason: int) -> None:
        """A-ASSOCIATE-RJ (PS3.8, table 9-21)."""
        self.send(_HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, result, source, reason)))

    def answer_release(self) -> None:
        """A-RELEASE-RP."""
        self.send(_HEADER.pack(RELEASE_RP, 4) + bytes(4))

    def abort(self) -> None:
        """A-ABORT by the service user (PS3.8, table 9-26)."""
        self.send(_HEADER.pack(ABORT, 4) + bytes(4))

    def close(self) -> None:
        """Close the connection, after the other side where it does so at once: what was sent last would be
        lost with data that nobody has read.
        """
        try:
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.settimeout(1.0)
            until = time.monotonic() + 1.0
            while time.monotonic() < until and self._connection.recv_into(self._buffer):
                pass
        except OSError:
            pass
        finally:
            self._connection.close()


def fragments(content: memoryview) -> Iterator[Fragment]:
    """The presentation data values of a P-DATA-TF PDU; raises `ProtocolError`."""
    at = 0
    while at < len(content):
        if at + _PDV.size > len(content):
            raise ProtocolError
        length, context_id, control = _PDV.unpack_from(content, at)
        end = at + 4 + length
        if length < 2 or end > len(content):
            raise ProtocolError
        yield Fragment(context_id, bool(control & 1), bool(control & 2), content[at + _PDV.size : end])
        at = end
