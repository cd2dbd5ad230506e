"""A web service on loopback that answers what a test writes, right or wrong."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from medsiglip.ingest.pacs.connection import Connection, checked


class Request(BaseHTTPRequestHandler):
    """What is asked: `address` without its question, `asked` the question's values, `body` what was sent."""

    protocol_version = "HTTP/1.1"
    address = ""
    asked: Mapping[str, list[str]]
    body = b""

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer; `Content_Type` stands for the header Content-Type."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def give_json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.give(status, json.dumps(value).encode(), Content_Type="application/dicom+json", **headers)

    def give_parts(self, *parts: bytes, ends: bool = True) -> None:
        """Answer with instances; without `ends` the last boundary is missing."""
        body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        self.give(200, body + (b"--b--\r\n" if ends else b""), Content_Type=kind)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.address, self.asked = parts.path, parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        script = self.server.script  # type: ignore[attr-defined]
        with suppress(OSError):
            script(self)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service(
    script: Callable[[Request], None], context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[str]:
    """The address of a service that answers as `script` does."""
    server = ThreadingHTTPServer((host, 0), Request)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.script = script  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"{'http' if context is None else 'https'}://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def connection(url: str, **options: Any) -> Connection:
    """A connection to a service."""
    return checked(Connection("scripted", "dicomweb", url=url, **options))


def study_row(uid: Any, **more: Any) -> dict[str, Any]:
    """A study as DICOM JSON has it."""
    return {"0020000D": {"vr": "UI", "Value": [uid]}, **more}


def instance_row(number: int) -> dict[str, Any]:
    """An instance as DICOM JSON has it."""
    return {
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00080018": {"vr": "UI", "Value": [f"1.2.3.4.{number}"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
    }
