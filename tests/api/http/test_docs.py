"""`/docs` in a real browser that reaches nothing but the service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.live_service import LiveService


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_docs_page_shows_every_route(service: LiveService, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
            *("--virtual-time-budget=20000", "--dump-dom", f"{service.url}/docs"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    with service.http() as http:
        described = http.get("/openapi.json").json()["paths"]
    shown = re.findall(r'<span class="opblock-summary-path[^"]*" data-path="([^"]+)"', ran.stdout)
    assert sorted(shown) == sorted(path for path, item in described.items() for _ in item)
    assert "Content Security Policy" not in ran.stderr
    assert "ERR_NAME_NOT_RESOLVED" not in ran.stderr


def test_the_docs_page_loads_nothing_from_other_hosts(service: LiveService) -> None:
    with service.http() as http:
        page = http.get("/docs")
        assert page.status_code == 200
        assert "://" not in page.text
        for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            part = http.get(f"/{path}")
            assert part.status_code == 200
            assert len(part.content) > 1000
        assert http.get("/redoc").status_code == 404
