"""One real server with its worker on a copy of the shared archive, for tests that speak HTTP to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from medsiglip.client.client import Client
from medsiglip.index.case_index import CaseIndex
from tests.api.service_processes import Started


@dataclass(frozen=True)
class LiveService:
    """A running service: its URL, its home, and a key of each scope."""

    url: str
    home: Path
    keys: Mapping[str, str]
    process_id: int

    def client(self, scope: str = "admin") -> Client:
        """The project's client with a key of this scope."""
        return Client(self.url, api_key=self.keys[scope])

    def http(self, scope: str = "admin") -> httpx.Client:
        """Plain HTTP with a key of this scope."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.keys[scope]}"}, timeout=60
        )

    def left_over(self) -> list[str]:
        """Folders of uploads that still exist."""
        folder = self.home / "received"
        return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


@contextmanager
def live_service(source: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[LiveService]:
    """The service, until the test is done with it; `source` is a home that is copied into `folder`."""
    home = folder / "home"
    shutil.copytree(source, home)
    with CaseIndex.open(home) as index:
        keys = {
            scope: index.api_keys.create(scope, [scope])[1]
            for scope in ("read", "write", "train", "report", "admin")
        }
    server = Started(home, ("serve", "--port", "0"), environment=environment)
    try:
        yield LiveService(str(server.answer()["url"]), home, keys, server.process.pid)
    finally:
        server.process.terminate()
        code = server.process.wait(30)
        server.end()
    assert code == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()
