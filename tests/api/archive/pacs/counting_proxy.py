"""A TCP proxy before a PACS, which notes each HTTP request when it passes, and can be cut like a cable."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_REQUEST = re.compile(rb"(GET|POST) (\S+) HTTP/1\.1")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Passed:
    """A request: when, by a clock that never goes back, and its path with its query."""

    at: float
    path: str


class CountingProxy:
    """Listens on a port of its own on loopback. With `is_cut`, connections are closed and none is taken."""

    def __init__(self, port: int) -> None:
        self.requests: list[Passed] = []
        self.is_cut = False
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self._end_all()

    @contextmanager
    def cut(self) -> Iterator[None]:
        self.is_cut = True
        self._end_all()
        try:
            yield
        finally:
            self.is_cut = False

    def most_within(self, seconds: float, weigh: Callable[[str], int]) -> int:
        """The highest sum of the weights of all requests within any span of so many seconds."""
        most = total = first = 0
        for number, passed in enumerate(self.requests):
            total += weigh(passed.path)
            while self.requests[first].at <= passed.at - seconds:
                total -= weigh(self.requests[first].path)
                first += 1
            most = max(most, total)
            assert first <= number
        return most

    def _end_all(self) -> None:
        with self._lock:
            ending, self._open = self._open, set()
        for one in ending:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.is_cut:
                    raise ConnectionError
                there = socket.create_connection(("127.0.0.1", self._behind), timeout=10)
            except OSError:
                here.close()
                continue
            with self._lock:
                self._open |= {here, there}
            threading.Thread(target=self._serve, args=(here, there), daemon=True).start()

    def _serve(self, here: socket.socket, there: socket.socket) -> None:
        answering = threading.Thread(target=self._pass_on, args=(there, here, None), daemon=True)
        answering.start()
        self._pass_on(here, there, _Requests(self.requests))
        answering.join()
        with self._lock:
            self._open -= {here, there}
        here.close()
        there.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, noted: _Requests | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if noted is not None:
                    noted.take(data)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Requests:
    """Finds the requests in what one connection sends."""

    def __init__(self, found: list[Passed]) -> None:
        self._found = found
        self._buffer = b""
        self._body = 0

    def take(self, data: bytes) -> None:
        skipped = min(self._body, len(data))
        self._body -= skipped
        self._buffer += data[skipped:]
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            request = _REQUEST.match(head)
            assert request is not None, head[:100]
            self._found.append(Passed(time.monotonic(), request[2].decode()))
            length = _LENGTH.search(head)
            self._body = 0 if length is None else int(length[1])
            skipped = min(self._body, len(self._buffer))
            self._body -= skipped
            self._buffer = self._buffer[skipped:]
