"""Messages to a syslog receiver: UDP (RFC 5426), TCP with octet counts (RFC 6587), TLS (RFC 5425).

Syslog has no answer that says that something was received. Over TCP and TLS a portion has a connection of its
own, which is closed for writing at its end: a receiver that has read all closes it, too, and one that was
killed, or does not take what it was sent, resets it, says so in an alert of TLS, or is not there. One that
keeps it open without a word for five seconds is believed. Over UDP nothing shows what was lost.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

DELIVERY_SECONDS = 30.0
"""After this a delivery has failed, from looking up the name to the end of the connection."""
TIMEOUT_SECONDS = 10.0
_END_SECONDS = 5.0
_PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages go: `scheme` is udp, tcp or tls."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Receiver:
        """The receiver of a setting that was checked."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or 0)

    @property
    def address(self) -> str:
        """Host and port, whichever way leads there."""
        return f"{self.host}:{self.port}"

    def deliver(self, messages: Sequence[bytes], *, seconds: float = DELIVERY_SECONDS) -> None:
        """Send all of them, in order, within so many seconds; raises OSError where a receiver did not take
        them to the last.
        """
        deadline = _Deadline(seconds)
        try:
            if self.scheme == "udp":
                self._deliver_datagrams(messages, deadline)
            else:
                self._deliver_stream(b"".join(b"%d %s" % (len(one), one) for one in messages), deadline)
        except UnicodeError:  # of a name that no host can have
            raise OSError(errno.EADDRNOTAVAIL, "no such host") from None

    def _deliver_datagrams(self, messages: Sequence[bytes], deadline: _Deadline) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as line:
            line.connect(address)
            for one in messages:
                line.settimeout(deadline.left(TIMEOUT_SECONDS))
                line.send(one)

    def _deliver_stream(self, content: bytes, deadline: _Deadline) -> None:
        with self._connected(deadline) as plain:
            if self.scheme == "tcp":
                _send(plain, content, deadline)
                plain.shutdown(socket.SHUT_WR)
                _await_end(plain)
                return
            plain.settimeout(deadline.left(TIMEOUT_SECONDS))
            context = ssl.create_default_context()
            # With TLS 1.3 a receiver says only after the handshake that it refuses who sends (RFC 8446,
            # section 4.4.2.4), and its word may be lost when it then ends the connection. Every receiver can
            # do 1.2 (RFC 9662).
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with context.wrap_socket(plain, server_hostname=self.host) as line:
                _send(line, content, deadline)
                _close(line)

    def _connected(self, deadline: _Deadline) -> socket.socket:
        """A connection to the first of the host's addresses that answers."""
        failure: OSError = OSError(errno.EADDRNOTAVAIL, "no such host")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        ):
            line = socket.socket(family, kind, protocol)
            try:
                line.settimeout(deadline.left(TIMEOUT_SECONDS))
                line.connect(address)
            except OSError as error:
                failure = error
                line.close()
            else:
                return line
        raise failure


class _Deadline:
    """The time of one delivery."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self, most: float) -> float:
        """The seconds that are left, `most` at most; raises TimeoutError for none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        return min(left, most)


def _send(line: socket.socket, content: bytes, deadline: _Deadline) -> None:
    rest = memoryview(content)
    while rest:
        line.settimeout(deadline.left(TIMEOUT_SECONDS))
        rest = rest[line.send(rest[:_PIECE_BYTES]) :]


def _await_end(line: socket.socket) -> None:
    """Wait until the receiver ends the connection. One that keeps it open is believed after five seconds.

    Raises ConnectionResetError where it was killed before it had read all.
    """
    until = time.monotonic() + _END_SECONDS
    while (left := until - time.monotonic()) > 0:
        line.settimeout(left)
        try:
            if not line.recv(4096):
                return
        except TimeoutError:
            return


def _close(line: ssl.SSLSocket) -> None:
    """Say that nothing more comes (RFC 5425, section 4.4), and wait for the same; raises OSError for any
    other answer.
    """
    line.settimeout(_END_SECONDS)
    try:
        line.unwrap()
    except TimeoutError:
        return
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it closed the connection without saying so first
        return
