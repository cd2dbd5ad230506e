"""Messages to a syslog receiver: UDP (RFC 5426), TCP with octet counts (RFC 6587), TLS (RFC 5425).

Syslog has no answer that says that something was received. Over TCP and TLS a portion has a connection of its
own, which is closed for writing at its end: a receiver that has read all closes it, too, and one that was
killed resets it, or is not there. Over UDP nothing shows what was lost.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0
_END_SECONDS = 5.0


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

    def deliver(self, messages: Sequence[bytes]) -> None:
        """Send all of them, in order; raises OSError where a receiver did not take them to the last."""
        try:
            if self.scheme == "udp":
                self._deliver_datagrams(messages)
            else:
                self._deliver_stream(b"".join(b"%d %s" % (len(one), one) for one in messages))
        except UnicodeError:  # of a name that no host can have
            raise OSError(errno.EADDRNOTAVAIL, "no such host") from None

    def _deliver_datagrams(self, messages: Sequence[bytes]) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as line:
            line.settimeout(TIMEOUT_SECONDS)
            line.connect(address)
            for one in messages:
                line.send(one)

    def _deliver_stream(self, content: bytes) -> None:
        with socket.create_connection((self.host, self.port), TIMEOUT_SECONDS) as plain:
            if self.scheme == "tcp":
                plain.sendall(content)
                plain.shutdown(socket.SHUT_WR)
                _await_end(plain)
                return
            context = ssl.create_default_context()
            with context.wrap_socket(plain, server_hostname=self.host) as line:
                line.sendall(content)
                _close(line)


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
    """Say that nothing more comes (RFC 5425, section 4.4), and wait for the same."""
    line.settimeout(_END_SECONDS)
    try:
        line.unwrap()
    except TimeoutError:
        return
    except ssl.SSLError:  # it closed the connection without saying so first, which many do
        return
