"""`python -m benchmarks` keeps what it has measured, and its clients outlive closed connections."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import results_file
from benchmarks.measure import Outcome
from benchmarks.served import post_json

MEASURED = Outcome("ours ÷ peer", 1.0, "the same", 3, [1.0, 2.0, 3.0], [2.0, 4.0, 6.0])


def stored(folder: Path) -> Any:
    files = list(folder.glob("*.json"))
    return json.loads(files[0].read_text())["ratios"] if files else {}


def test_each_ratio_is_kept_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, list[str]] = {}

    def measure(name: str) -> Any:
        def run(folder: Path, rounds: int) -> Outcome:
            assert folder.is_dir()
            assert rounds == 5
            seen[name] = sorted(stored(tmp_path))
            if name == "orthanc":
                raise http.client.RemoteDisconnected("gone")
            if name == "decode":
                return Outcome("skipped", 1.0, "", 0, skipped="no peer")
            return MEASURED

        return SimpleNamespace(measure=run)

    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(program, "import_module", lambda name: measure(name.removeprefix("benchmarks.")))
    names = ["ingest_rate", "orthanc", "A5", "A15"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *names])
    assert program.main() == 1
    assert seen == {"ingest_rate": [], "orthanc": ["A1"], "decode": ["A1"], "shared_passes": ["A1"]}
    assert {key: one["ratio"] for key, one in stored(tmp_path).items()} == {"A1": 2.0, "A15": 2.0}
    printed = capsys.readouterr()
    assert "A3  not measured: RemoteDisconnected: gone" in printed.out
    assert "Traceback" in printed.err
    monkeypatch.setattr(sys, "argv", ["benchmarks", "A15", "A5"])
    assert program.main() == 0


@pytest.fixture
def closing_server() -> Iterator[tuple[int, list[bytes]]]:
    """Keeps a connection open by its headers, and closes it after each answer all the same."""
    taken: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            status = 503 if taken[-1] == b"busy" else 200
            answer = json.dumps({"count": len(taken)}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, taken
        server.shutdown()
        thread.join()


def test_a_client_reconnects_to_a_server_that_closed(closing_server: tuple[int, list[bytes]]) -> None:
    port, taken = closing_server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    assert [post_json(connection, "/", b"%d" % n)["count"] for n in range(3)] == [1, 2, 3]
    assert taken == [b"0", b"1", b"2"]
    with pytest.raises(RuntimeError, match="503"):
        post_json(connection, "/", b"busy")
    connection.close()
