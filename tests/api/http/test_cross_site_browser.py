"""A page of another site in a real browser, while there is no key: only its link to `/docs` is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.api.service_processes import Started
from tests.waiting import eventually

PAGE = """<!doctype html>
<a id="link" href="{url}/docs">The API</a>
<form id="form" method="post" target="frame" action="{url}/v1/ingest"><input name="path" value="/"></form>
<iframe id="frame" name="frame"></iframe>
<script>
const loads = (element, url) => new Promise(done => {{
  element.onload = () => done("loaded");
  element.onerror = () => done("failed");
  element.src = url;
  document.body.append(element);
}});
const reads = (url, how) => fetch(url, how).then(answer => answer.text(), () => "failed");
const posted = new Promise(done => document.getElementById("frame").onload = () => done("loaded"));
document.getElementById("form").submit();
Promise.all([
  loads(new Image(), "{url}/v1/studies?where=modality=CT"),
  loads(document.createElement("script"), "{url}/readyz"),
  reads("{url}/v1/studies"),
  reads("{url}/openapi.json"),
  reads("{url}/v1/search", {{method: "POST", body: "{{}}", mode: "no-cors"}}),
  reads("{url}/v1/info", {{method: "PUT"}}),
  loads(document.createElement("iframe"), "{url}/docs"),
  posted,
]).then(outcomes => fetch("/outcomes", {{method: "POST", body: JSON.stringify(outcomes)}}))
  .then(() => document.getElementById("link").click());
</script>
"""
TRIES = 8
# What is refused before it comes to a route, and /openapi.json, which is none of FastAPI's.
UNROUTED = "(none)"


class Site(ThreadingHTTPServer):
    """Another site on a port of this machine: one page, and what its script could read."""

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = PAGE.format(url=url).encode()
        self.outcomes: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self._answer(self.server.page if self.path == "/page" else b"")

    def do_POST(self) -> None:
        self.server.outcomes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def site(url: str) -> Iterator[Site]:
    with Site(url) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browsing(url: str, profile: Path) -> Iterator[None]:
    """A headless browser that is at this address until the test is done with it."""
    rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    started = subprocess.Popen(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
            *(f"--host-resolver-rules={rules}", "--remote-debugging-port=0", url),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


def answers(served: Started) -> Counter[tuple[str, int]]:
    """How often each route answered with each status, by the server's log."""
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    return Counter((line["route"], line["status"]) for line in lines if "route" in line)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("localhost", marks=pytest.mark.long)])
def test_a_page_of_another_port_or_name_gets_nothing(tmp_path: Path, host: str) -> None:
    """127.0.0.1 is the same site to a browser, localhost another."""
    served = Started(tmp_path / "home", ("serve", "--port", "0", "--no-worker"))
    try:
        url = str(served.answer()["url"])
        assert url.startswith("http://127.0.0.1:")
        with (
            site(url) as other,
            browsing(f"http://{host}:{other.server_port}/page", tmp_path / "profile"),
        ):
            # Where the link led to has loaded its script, which has loaded the description.
            eventually(lambda: other.outcomes and answers(served)[UNROUTED, 200])
        found = answers(served)
        # A frame that is refused loads a page of the browser's own.
        assert other.outcomes == ["failed"] * 6 + ["loaded"] * 2
        assert found.pop((UNROUTED, 403)) == TRIES
        assert found.pop((UNROUTED, 200)) == 1
        assert found.keys() == {("/docs", 200), ("/docs/{name}", 200)}
    finally:
        served.end()
