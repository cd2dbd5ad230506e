"""TLS in front of a server that speaks none, as a reverse proxy of a hospital does it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from tests.api.archive.pacs.certificates import Pair


class TlsFront:
    """Listens on a port of loopback with a certificate and hands on to another port. With `client_ca`,
    clients must show a certificate that it has signed.
    """

    def __init__(self, port: int, behind: int, server: Pair, client_ca: Path | None = None) -> None:
        self._behind = behind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(server.certificate, server.key)
        if client_ca is not None:
            self._context.load_verify_locations(client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.settimeout(60)
        with (
            contextlib.suppress(OSError),
            accepted,
            self._context.wrap_socket(accepted, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._behind), 60) as behind,
        ):
            back = threading.Thread(target=_pump, args=(behind, client), daemon=True)
            back.start()
            _pump(client, behind)
            back.join(60)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
