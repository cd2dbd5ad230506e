"""A way to a server that breaks at the worst moment: a commit reaches the server and its answer never comes,
or nothing passes any more.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType


class CuttingProxy:
    """Passes bytes between clients and a server on loopback. After `cut_commits(n)`, the next n commits are
    carried out by the server, and their connections end before the answer. Within `losing_packets`, nothing
    passes and no connection ends, as in a network that drops every packet.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._left = 0
        self.cut = 0
        self._passing = threading.Event()
        self._passing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_commits(self, count: int) -> None:
        """Lose the answers of the next commits."""
        self._left = count

    @contextmanager
    def losing_packets(self) -> Iterator[None]:
        """Let nothing through meanwhile."""
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._passing.wait()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                losing = threading.Event()
                threading.Thread(target=self._to_server, args=(client, server, losing), daemon=True).start()
                threading.Thread(target=self._to_client, args=(client, server, losing), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self._left and b"COMMIT" in data:
                    self._left -= 1
                    self.cut += 1
                    losing.set()
                self._passing.wait()
                server.sendall(data)
        _end(server)

    def _to_client(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while (data := server.recv(1 << 16)) and not losing.is_set():
                self._passing.wait()
                client.sendall(data)
        _end(client)
        _end(server)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
