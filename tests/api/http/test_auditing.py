"""Which requests of a page cost an event of the audit trail, and what such an event names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI, Query, Request
from fastapi.testclient import TestClient

from medsiglip.api.http import auditing
from medsiglip.api.http.app import create_app
from medsiglip.api.http.auditing import COVERED_SECONDS, ShownStudies
from medsiglip.api.settings import Settings

LOOPBACK = "http://127.0.0.1:8000"
Event = tuple[str, str, tuple[str, ...]]


class Viewer:
    """A small service on which studies are opened and listed, and parts of them asked for."""

    def __init__(self, app: FastAPI, http: TestClient) -> None:
        self.app = app
        self.http = http
        self.now = 0.0
        app.state.shown_studies = ShownStudies(clock=lambda: self.now)
        keys = app.state.server.archive.index.api_keys
        made = {name: keys.create(name, ["read"]) for name in ("anna", "ben")}
        self.headers = {name: {"Authorization": f"Bearer {shown}"} for name, (_, shown) in made.items()}
        self.names = {key.id: name for name, (key, _) in made.items()}

    def ask(self, caller: str, what: str, *studies: str, action: str = "view") -> None:
        """Open, list or ask for a part of these studies."""
        asked = {"action": action, "study": list(studies)}
        self.http.get(f"/v1/try/{what}", params=asked, headers=self.headers[caller]).raise_for_status()

    def events(self) -> list[Event]:
        """Who did what to which studies, in order."""
        trail = [one.event for one in self.app.state.server.archive.index.audit.events()]
        return [(self.names[one.actor], one.action, one.studies) for one in trail]


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    app = create_app(Settings(home=tmp_path / "home"))

    @app.get("/v1/try/{what}")
    def attempt(request: Request, what: str, action: str, study: Annotated[list[str], Query()]) -> None:
        if what == "open":
            auditing.record_opening(request, study[0], action)
        elif what == "list":
            auditing.record_list(request, action, study)
        elif what == "list-all":
            auditing.record_list(request, action, [], also_shown=study)
        else:
            auditing.record_part(request, study, action)

    with TestClient(app, base_url=LOOPBACK) as client:
        yield Viewer(app, client)


def test_parts_of_an_opened_study_are_of_its_opening(viewer: Viewer) -> None:
    viewer.ask("anna", "open", "1.1")
    for action in ("view", "list", "classify"):
        viewer.ask("anna", "part", "1.1", action=action)
    assert viewer.events() == [("anna", "view", ("1.1",))]
    viewer.ask("anna", "open", "1.1")
    assert viewer.events() == [("anna", "view", ("1.1",))] * 2


def test_a_part_names_what_no_event_names_once(viewer: Viewer) -> None:
    viewer.ask("anna", "open", "1.1")
    viewer.ask("anna", "part", "1.1", "1.2", "1.3", "1.2")
    viewer.ask("anna", "part", "1.3", "1.2")
    viewer.ask("ben", "part", "1.2")
    assert viewer.events()[1:] == [("anna", "view", ("1.2", "1.3")), ("ben", "view", ("1.2",))]


def test_a_list_covers_its_small_pictures_but_no_viewing(viewer: Viewer) -> None:
    viewer.ask("anna", "list", "1.1", "1.2", action="search")
    viewer.ask("anna", "part", "1.1", "1.2", action="list")
    assert viewer.events() == [("anna", "search", ("1.1", "1.2"))]
    viewer.ask("anna", "part", "1.1", "1.2", "1.3", action="list")
    viewer.ask("anna", "part", "1.2")
    viewer.ask("anna", "part", "1.2", action="list")
    assert viewer.events()[1:] == [("anna", "list", ("1.3",)), ("anna", "view", ("1.2",))]
    viewer.ask("ben", "list-all", "1.1", "1.2", action="list")
    viewer.ask("ben", "part", "1.1", action="list")
    assert viewer.events()[3:] == [("ben", "list", ())]


def test_after_half_an_hour_a_part_is_an_event_again(viewer: Viewer) -> None:
    viewer.ask("anna", "open", "1.1")
    viewer.now = COVERED_SECONDS - 1
    viewer.ask("anna", "part", "1.1")
    assert len(viewer.events()) == 1
    viewer.now = COVERED_SECONDS
    viewer.ask("anna", "part", "1.1")
    assert len(viewer.events()) == 2


def test_parts_asked_for_at_once_are_one_event(viewer: Viewer) -> None:
    threads = [threading.Thread(target=viewer.ask, args=("anna", "part", "1.1")) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert viewer.events() == [("anna", "view", ("1.1",))]


def test_what_is_remembered_is_bounded() -> None:
    now = 0.0
    shown = ShownStudies(clock=lambda: now)
    shown.mark("anna", (f"1.{i}" for i in range(120_000)), opened=True)
    shown.mark("anna", (f"2.{i}" for i in range(120_000)), opened=False)
    assert len(shown) <= 100_000
    assert shown.missing("anna", ["1.0", "1.119999"], listed=False) == ["1.0"]
    now = COVERED_SECONDS + 1
    shown.mark("ben", ["1.1"], opened=True)
    assert len(shown) == 1
