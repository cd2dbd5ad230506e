"""Accepting over the command line and HTTP: concerns are asked for, and a second report is an addendum."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.medgemma.draft_record import draft_of, payload_of
from tests.api.conftest import Home, Phantoms


@pytest.fixture
def draft(own_home: Home, phantoms: Phantoms) -> str:
    """An edited draft that denies the effusion of its study, and gives it a wrong age."""
    study = phantoms.with_label("pleural-effusion")[0]
    made = str(own_home.run("report", "draft", study).json["id"])
    with Archive(own_home.path) as archive:
        archive.edit_report(made, "No pleural effusion in this 3-year-old patient.", by="ann")
    return made


def listed(home: Home, draft_id: str) -> list[str]:
    return [one["id"] for one in home.run("report", "show", draft_id).json["concerns"]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answered(monkeypatch: pytest.MonkeyPatch, home: Home, draft_id: str, answers: str) -> Any:
    """What `report accept` does for a person who answers so."""
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    return home.show("report", "accept", draft_id)


def test_the_command_asks_for_each_concern(own_home: Home, draft: str) -> None:
    asked = listed(own_home, draft)
    assert [one.split(":")[0] for one in asked] == ["contradict", "wrong-number"]
    for options in ((), ("--acknowledge", asked[0]), ("--acknowledge", "omitted:nodule")):
        error = own_home.run("report", "accept", draft, *options).error
        assert error["code"] == "draft-concerns"
        assert f"[{asked[1]}]" in error["message"]
        assert "3-year-old patient." not in error["message"]
    both = [word for one in asked for word in ("--acknowledge", one)]
    done = own_home.run("report", "accept", draft, *both).json
    assert (done["status"], done["concerns"]) == ("accepted", [])
    assert [one["id"] for one in done["history"][-1]["acknowledged"]] == asked
    assert "acknowledged: A sentence contradicts the score" in own_home.show("report", "show", draft).out


def test_all_concerns_are_acknowledged_at_once(own_home: Home, draft: str) -> None:
    done = own_home.run("report", "accept", draft, "--acknowledge-all").json
    assert [one["kind"] for one in done["history"][-1]["acknowledged"]] == ["contradict", "wrong-number"]


def test_a_person_on_a_terminal_is_asked_one_by_one(
    own_home: Home, draft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = answered(monkeypatch, own_home, draft, "y\nn\n")
    assert refused.code == 1
    assert "Accept it so?" in refused.err
    assert "3-year-old patient." in refused.err
    accepted = answered(monkeypatch, own_home, draft, "y\ny\n")
    assert accepted.code == 0, accepted.err
    assert own_home.run("report", "show", draft).json["status"] == "accepted"


@pytest.fixture
def client(own_home: Home, draft: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(home=own_home.path))) as opened:
        archive = opened.app.state.server.archive  # type: ignore[attr-defined]
        key = archive.index.api_keys.create("all", ["read", "report"])[1]
        opened.headers["Authorization"] = f"Bearer {key}"
        yield opened


def test_the_problem_lists_the_concerns(client: TestClient, draft: str) -> None:
    shown = client.get(f"/v1/reports/{draft}").json()
    bodies: list[Any] = [None, {}, {"acknowledge": []}, {"acknowledge": [shown["concerns"][1]["id"]]}]
    for body in bodies:
        refused = client.post(f"/v1/reports/{draft}/accept", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "draft-concerns")
        missing = [one for one in shown["concerns"] if one["id"] not in (body or {}).get("acknowledge", [])]
        assert refused.json()["concerns"] == missing
    everything = {"acknowledge": [one["id"] for one in shown["concerns"]], "revision": shown["revision"]}
    done = client.post(f"/v1/reports/{draft}/accept", json=everything)
    assert (done.status_code, done.json()["status"]) == (200, "accepted")
    unknown: list[Any] = [{"acknowledge": "all"}, {"acknowledge": [1]}, {"acknowledged": []}]
    for wrong in unknown:
        assert client.post(f"/v1/reports/{draft}/accept", json=wrong).json()["code"] == "bad-request"


def test_a_draft_that_was_cut_off_says_so_everywhere(client: TestClient, own_home: Home, draft: str) -> None:
    archive = client.app.state.server.archive  # type: ignore[attr-defined]
    former = archive.index.drafts.get(draft)
    cut = {**payload_of(draft_of(former)), "incomplete": "length"}
    made = archive.index.drafts.add(
        "cut", former.study_instance_uid, route=None, generator="near", text="Small", payload=cut, by="worker"
    )
    shown = client.get("/v1/reports/cut").json()
    assert shown["incomplete"] == "length"
    assert shown["warnings"][0].startswith("INCOMPLETE: the reply was cut off (length).")
    lines = {one["id"]: one["incomplete"] for one in client.get("/v1/reports").json()["reports"]}
    assert lines == {draft: None, "cut": "length"}
    assert "INCOMPLETE (length)" in own_home.show("report", "show", made.id).out
    assert "INCOMPLETE" in own_home.show("report", "list").out
    everything = {"acknowledge": [one["id"] for one in shown["concerns"]]}
    refused = client.post("/v1/reports/cut/accept", json=everything)
    assert (refused.status_code, refused.json()["code"]) == (409, "draft-incomplete")
    whole = client.post("/v1/reports/cut/edit", json={"text": "Small pleural effusion."}).json()
    assert whole["incomplete"] is None
    assert all("INCOMPLETE" not in one for one in whole["warnings"])


def test_a_second_accepted_report_is_an_addendum_to_the_first(own_home: Home, phantoms: Phantoms) -> None:
    study = phantoms.with_label("pleural-effusion")[0]
    first, second = (own_home.run("report", "draft", study).json["id"] for _ in range(2))
    for one in (first, second):
        words = own_home.path / "words.txt"
        words.write_text(f"Pleural effusion. Report {'one' if one == first else 'two'}.")
        own_home.run("report", "edit", one, "--text", words)
        assert own_home.run("report", "accept", one).json["status"] == "accepted", "its score agrees"
    shown = [own_home.run("report", "show", one).json for one in (first, second)]
    assert [(one["supersedes"], one["superseded_by"]) for one in shown] == [(None, second), (first, None)]
    assert "superseded by the addendum" in " ".join(shown[0]["warnings"])
    lines = {one["id"]: one for one in own_home.run("report", "list").json["reports"]}
    assert (lines[first]["superseded_by"], lines[second]["supersedes"]) == (second, first)
    assert f"addendum to {first}" in own_home.show("report", "show", second).out
    found = own_home.run("study", "list", "--where", "report=report two").json["studies"]
    assert [one["study_instance_uid"] for one in found] == [study]
    assert own_home.run("study", "list", "--where", "report=report one").json["studies"] == []
    text = json.dumps(own_home.run("report", "show", first).json)
    assert "Report one." in text
