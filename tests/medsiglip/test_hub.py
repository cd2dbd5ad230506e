"""Checkpoints from a hub: one on the loopback interface, one that refuses, and none at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from medsiglip.checkpoint import open_checkpoint

HUB_ID = "google/medsiglip-448"
COMMIT = "0123456789" * 4


class Hub(BaseHTTPRequestHandler):
    """A hub on the loopback interface that lists and hands out the files of `server.folder`, or refuses."""

    def do_GET(self) -> None:
        folder, status = self.server.folder, self.server.status  # type: ignore[attr-defined]
        headers, body = {"X-Error-Code": self.server.error_code}, b"{}"  # type: ignore[attr-defined]
        if folder is not None and self.path.startswith("/api/models/"):
            status, body = 200, json.dumps(self._listing(folder)).encode()
        elif folder is not None and "/resolve/" in self.path and status == 200:
            body = (folder / Path(self.path).name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _listing(self, folder: Path) -> Any:
        files = [(path.name, path.stat().st_size) for path in sorted(folder.iterdir())]
        if "/tree/" in self.path:
            return [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in files]
        siblings = [{"rfilename": name} for name, _ in files]
        return {"id": HUB_ID, "modelId": HUB_ID, "sha": COMMIT, "gated": "manual", "siblings": siblings}

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.status, server.error_code = None, 200, ""  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def open_from_hub(endpoint: str, cache: Path, **environment: str) -> str:
    """What a fresh process says that opens the gated model from the hub at `endpoint`: code and message."""
    program = (
        "from medsiglip import open_checkpoint, ModelError\n"
        f"try:\n    print('opened', open_checkpoint({HUB_ID!r}).hash)\n"
        "except ModelError as error:\n    print(error.code, error)"
    )
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "NO_PROXY": "*",
        "no_proxy": "*",
        **environment,
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=kept | settings,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("status", "error_code", "lists_files", "code"),
    [
        (401, "GatedRepo", True, "model-access"),
        (403, "GatedRepo", False, "model-access"),
        (401, "", False, "model-access"),
        (404, "RepoNotFound", False, "model-not-found"),
        (500, "", False, "no-network"),
    ],
)
def test_hub_that_refuses(
    hub: ThreadingHTTPServer,
    tmp_path: Path,
    small_siglip: tuple[Path, Any],
    status: int,
    error_code: str,
    lists_files: bool,
    code: str,
) -> None:
    hub.status, hub.error_code = status, error_code  # type: ignore[attr-defined]
    hub.folder = small_siglip[0] if lists_files else None  # type: ignore[attr-defined]
    said = open_from_hub(f"http://127.0.0.1:{hub.server_port}", tmp_path)
    assert said.split()[0] == code, said
    assert "\n" not in said
    for cure in ("accept the terms", "HF_TOKEN", "folder"):
        assert cure in said


def test_files_of_the_hub_are_downloaded_once(
    hub: ThreadingHTTPServer, tmp_path: Path, small_siglip: tuple[Path, Any]
) -> None:
    hub.folder = small_siglip[0]  # type: ignore[attr-defined]
    opened = f"opened {open_checkpoint(str(small_siglip[0])).hash}"
    assert open_from_hub(f"http://127.0.0.1:{hub.server_port}", tmp_path) == opened
    assert open_from_hub("http://127.0.0.1:9", tmp_path) == opened


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no answer", "offline mode"])
def test_unreachable_hub(tmp_path: Path, environment: dict[str, str]) -> None:
    said = open_from_hub("http://127.0.0.1:9", tmp_path, **environment)
    assert said.split()[0] == "no-network", said
    assert "\n" not in said
    for cure in ("accept the terms", "HF_TOKEN", "folder"):
        assert cure in said
