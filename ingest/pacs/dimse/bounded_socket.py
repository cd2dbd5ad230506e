"""Sockets of an association that end when the peer falls silent, dribbles, or sends without end.

pynetdicom reads a PDU of any announced length, waits for its last byte for ever, and keeps every message that
arrives until somebody asks for it.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from typing import Any

LONGEST_PDU = 1 << 23
_HEADER = 6  # PS3.8, section 9.3: type, reserved, and four bytes of length


class Bounds:
    """What a peer may send: at most `most` bytes between two calls of `begin` or `taken`, each PDU within
    `seconds`, and while an operation waits something every `patience` seconds.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds = seconds
        self.most = most
        self.is_exceeded = False
        self.is_silent = False
        self._received = 0
        self._header = bytearray()
        self._missing = 0
        self._begun = self._last = time.monotonic()
        self._patience: float | None = None
        self._socket: socket.socket | None = None
        self._ended = threading.Event()

    def watch(self, guarded: socket.socket) -> None:
        """Watch a connection that has just been made, until `end`."""
        self._socket = guarded
        guarded.settimeout(self.seconds)
        threading.Thread(target=self._look, daemon=True, name="pacs-watch").start()

    def begin(self, patience: float, most: int) -> None:
        """An operation begins that may bring `most` bytes and be silent for `patience` seconds."""
        self._received, self.most = 0, most
        self._last, self._patience = time.monotonic(), patience

    def taken(self) -> None:
        """What has arrived was taken."""
        self._received, self._last = 0, time.monotonic()

    def rest(self) -> None:
        """No operation waits any more."""
        self._patience = None

    def end(self) -> None:
        """The connection is no longer used."""
        self._ended.set()

    def passed(self, data: bytes) -> None:
        """Count bytes that were received; raises OSError where the peer breaks a bound."""
        now = time.monotonic()
        self._last = now
        self._received += len(data)
        if self._missing:
            self._missing -= len(data)
        else:
            self._header += data
            if len(self._header) == 1:
                self._begun = now
            if len(self._header) >= _HEADER:
                (self._missing,) = struct.unpack(">I", self._header[2:_HEADER])
                self._header.clear()
                self._begun = now
        if self._received > self.most or self._missing > LONGEST_PDU:
            self.is_exceeded = True
            raise OSError("more was received than is waited for")
        if (self._missing or self._header) and now - self._begun > self.seconds:
            self.is_silent = True
            raise TimeoutError("a PDU did not end")

    def _look(self) -> None:
        while not self._ended.wait(min(1.0, self.seconds / 4)):
            patience = self._patience
            if patience is not None and time.monotonic() - self._last > patience:
                self.is_silent = True
                break
        else:
            return
        if self._socket is not None:
            try:
                # Of the plain socket also under TLS: the thread that reads then sees an end.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return


class BoundedSocket(socket.socket):
    """A socket whose received bytes are counted, and that is closed where it cannot be shut down."""

    bounds: Bounds | None = None

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive as `socket.recv` does; raises OSError where a bound is broken."""
        data = super().recv(bufsize, flags)
        if self.bounds is not None:
            self.bounds.passed(data)
        return data

    def shutdown(self, how: int, /) -> None:
        """Shut down; pynetdicom closes a socket only where this succeeds."""
        try:
            super().shutdown(how)
        except OSError:
            self.close()
            raise


class BoundedTlsSocket(ssl.SSLSocket):
    """A TLS socket whose received bytes are counted, and that is closed where it cannot be shut down."""

    bounds: Bounds | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive as `SSLSocket.recv` does; raises OSError where a bound is broken."""
        data = super().recv(buflen, flags)
        if self.bounds is not None:
            self.bounds.passed(data)
        return data

    def shutdown(self, how: int) -> None:
        """Shut down; pynetdicom closes a socket only where this succeeds."""
        try:
            super().shutdown(how)
        except OSError:
            self.close()
            raise


class PlainContext:
    """In place of a TLS context where there is no TLS: pynetdicom has a socket wrapped before it connects."""

    def wrap_socket(self, sock: socket.socket, **_: Any) -> BoundedSocket:
        """The same connection as a bounded socket."""
        return BoundedSocket(fileno=sock.detach())


def bound(transport: Any, bounds: Bounds) -> None:
    """Bind the connection of pynetdicom's `AssociationSocket` by `bounds`, before anything was received."""
    transport.socket.bounds = bounds
    bounds.watch(transport.socket)
