"""A network that fails between a PACS and whoever asks it, at the worst moment."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class CuttingProxy:
    """Passes connections on, and cuts those on which the client has sent `cut_after` bytes as soon as the
    PACS answers: the request is done, and its answer is lost. With `holds` it keeps the answer instead.
    """

    def __init__(self, port: int, cut_after: int, *, holds: bool = False) -> None:
        self._target, self._cut_after, self._holds, self.cut = port, cut_after, holds, 0
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as pacs:
            sent = [0]
            upwards = threading.Thread(target=self._upwards, args=(client, pacs, sent), daemon=True)
            upwards.start()
            while data := receive(pacs):
                if sent[0] >= self._cut_after:
                    self.cut += 1
                    if self._holds:
                        self._released.wait(120)
                    break
                client.sendall(data)
            # A client that reuses connections has to see that this one has ended: closing alone does not tell
            # it while the other thread still reads.
            end(client)
            upwards.join()

    @staticmethod
    def _upwards(client: socket.socket, pacs: socket.socket, sent: list[int]) -> None:
        with suppress(OSError):  # the PACS has ended the connection
            while data := receive(client):
                sent[0] += len(data)
                pacs.sendall(data)
        end(pacs)

    def close(self) -> None:
        self._released.set()
        self._listener.close()


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
