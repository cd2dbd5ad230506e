"""Drafts of phantoms: their text, the workflow of a person, and exports."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.index.errors import CatalogError
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.workflow import TRANSITIONS
from tests.api.conftest import Home


@pytest.fixture
def archive(own_home: Home) -> Any:
    with Archive(own_home.path) as opened:
        yield opened


def a_study(archive: Archive, where: str = "modality=CR|DX") -> str:
    uid: str = archive.studies([where])["studies"][0]["study_instance_uid"]
    return uid


def test_evidence_only_states_the_right_finding_and_contradicts_no_score(archive: Archive) -> None:
    """Of phantoms, none of which the model has seen."""
    right, verdicts = [], []
    for study in archive.studies()["studies"]:
        draft = archive.draft_report(study["study_instance_uid"], by="test")
        stated = {check["finding"] for check in draft["checks"] if check["polarity"] is True}
        present = {name for name, value in study["labels"].items() if value}
        right.append(present <= stated if present else not stated)
        verdicts += [check["verdict"] for check in draft["checks"]]
        assert (draft["concerns"], draft["omissions"]) == ([], [])
        sourced = [check for check in draft["checks"] if check["finding"] and check["polarity"] is not None]
        assert {source for check in sourced for source in check["sources"]} <= {"prompts:phantoms"}
        assert all(check["sources"] for check in sourced)
    assert sum(right) >= 0.9 * len(right)
    assert "contradict" not in verdicts
    assert "agree" in verdicts


def test_a_draft_has_the_shape_of_the_contract_and_its_evidence(archive: Archive, tmp_path: Path) -> None:
    uid = a_study(archive)
    others = [one["study_instance_uid"] for one in archive.studies(["modality=CR|DX"])["studies"]]
    with (tmp_path / "reports.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["study_instance_uid", "report"])
        rows.writerows([one, f"No acute disease in {number}."] for number, one in enumerate(others))
        rows.writerow(["1.2.3", "of nobody"])
    assert archive.import_reports(tmp_path / "reports.csv")["unmatched"] == ["1.2.3"]
    draft = archive.draft_report(uid, by="test", options={"neighbours": 3}, indication="cough")
    assert (draft["status"], draft["route"], draft["generator"]) == ("draft", None, "evidence-only")
    assert {"id", "text", "findings", "evidence", "checks"} <= draft.to_json().keys()
    classified = archive.classify(study=uid, prompts="phantoms")["scores"]
    expected = {one["label"]: pytest.approx(one["probability"]) for one in classified}
    assert {one["label"]: one["probability"] for one in draft["findings"]}.items() <= expected.items()
    hits = archive.search(study=uid, k=3, where=["modality=CR|DX"])["hits"]
    assert [(one["study_instance_uid"], one["score"]) for one in draft["evidence"]] == [
        (hit["study_instance_uid"], pytest.approx(hit["score"], abs=1e-6)) for hit in hits
    ]
    assert all(one["text"].startswith("No acute disease in") for one in draft["evidence"])
    assert draft["study"]["indication"] == "cough"
    assert archive.report(draft["id"]) == draft


def accepted(archive: Archive, draft_id: str) -> Any:
    """Accept a draft with all its concerns, as a person who has looked at each does."""
    seen = [one["id"] for one in archive.report(draft_id)["concerns"]]
    return archive.accept_report(draft_id, by="ann", acknowledge=seen)


STEPS: dict[str, Callable[[Archive, str], Any]] = {
    "accept": accepted,
    "edit": lambda archive, one: archive.edit_report(one, "My own words.", by="ann"),
    "reject": lambda archive, one: archive.reject_report(one, "wrong side", by="ann"),
}
WAYS = {"draft": [], "edited": ["edit"], "accepted": ["accept"], "rejected": ["reject"]}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", WAYS)
def test_the_table_of_transitions(archive: Archive, status: str, step: str) -> None:
    made = archive.draft_report(a_study(archive), by="test")["id"]
    for way in WAYS[status]:
        STEPS[way](archive, made)
    before = archive.report(made)
    assert before["status"] == status
    expected = {"accept": "accepted", "edit": "edited", "reject": "rejected"}[step]
    if status in ("accepted", "rejected"):
        assert (status, step) not in TRANSITIONS
        with pytest.raises(DraftError) as caught:
            STEPS[step](archive, made)
        assert caught.value.code == "draft-settled"
        assert archive.report(made) == before
    else:
        after = STEPS[step](archive, made)
        assert after["status"] == expected == TRANSITIONS[status, step]  # type: ignore[index]
        assert after["history"][:-1] == before["history"]
        assert (after["history"][-1]["by"], after["history"][-1]["status"]) == ("ann", expected)


def test_an_edit_keeps_the_difference_and_is_checked_anew(archive: Archive) -> None:
    made = archive.draft_report(a_study(archive), by="test")
    certain = next(one for one in made["findings"] if one["present"] is not None)
    word = certain["label"].replace("-", " ")
    lie = f"There is no {word}." if certain["present"] else f"There is a {word}."
    edited = archive.edit_report(made["id"], lie, by="ann", revision=1)
    assert [check["verdict"] for check in edited["checks"]] == ["contradict"]
    assert f"[[contradicts the score of {certain['label']}" in edited["marked"]
    assert f"+{lie}" in edited["history"][-1]["difference"]
    assert edited["history"][0]["text"] == made["text"]
    with pytest.raises(DraftError, match="changed meanwhile"):
        archive.accept_report(made["id"], by="bob", revision=1)
    with pytest.raises(CatalogError, match="no draft"):
        archive.accept_report("nothing", by="bob")


def test_accepted_words_are_found_and_told_of_similar_cases(archive: Archive) -> None:
    uid = a_study(archive)
    made = archive.draft_report(uid, by="test")["id"]
    assert archive.studies(["report=sonorous words"])["studies"] == []
    archive.edit_report(made, "Quite sonorous words.", by="ann")
    assert archive.studies(["report=sonorous words"])["studies"] == []
    accepted(archive, made)
    assert [one["study_instance_uid"] for one in archive.studies(["report=sonorous words"])["studies"]] == [
        uid
    ]
    found = archive.search(study=uid, k=1, where=["modality=CR|DX"])["hits"][0]["study_instance_uid"]
    theirs = archive.draft_report(found, by="test", options={"neighbours": 50})["evidence"]
    told = [one["text"] for one in theirs if one["study_instance_uid"] == uid]
    assert told == ["Quite sonorous words."]


@pytest.mark.parametrize("format_", ["sr", "pdf", "html", "fhir", "markdown", "dicom-pdf"])
def test_what_nobody_accepted_leaves_marked(archive: Archive, tmp_path: Path, format_: str) -> None:
    made = archive.draft_report(a_study(archive), by="test")["id"]
    archive.edit_report(made, "My own words.", by="ann")
    written = archive.export_report(made, format_, tmp_path / "draft")
    content = Path(written["path"]).read_bytes()
    if format_ == "markdown":
        assert b"MACHINE-DRAFTED" in content
        accepted(archive, made)
        archive.export_report(made, format_, tmp_path / "accepted")
        assert b"MACHINE-DRAFTED, NOT A REPORT" not in (tmp_path / "accepted").read_bytes()
    assert content[:4] == b"%PDF" or b"DICM" in content[:140] or format_ in ("fhir", "html", "markdown")
    if format_ == "fhir":
        assert json.loads(content)["status"] == "preliminary"


def test_forgetting_takes_drafts_and_texts_along(archive: Archive, own_home: Home) -> None:
    uid = a_study(archive)
    made = archive.draft_report(uid, by="test", options={"neighbours": 50})["id"]
    archive.edit_report(made, "A unique wording.", by="ann")
    accepted(archive, made)
    other = archive.search(study=uid, k=1, where=["modality=CR|DX"])["hits"][0]["study_instance_uid"]
    citing = archive.draft_report(other, by="test", options={"neighbours": 50})["id"]
    assert uid in json.dumps(archive.report(citing).to_json())
    archive.forget(study=uid)
    assert archive.reports()["reports"] == []
    archive.close()
    for file in own_home.path.glob("catalog.db*"):
        assert b"unique wording" not in file.read_bytes()


def test_every_command_of_reports_answers(own_home: Home, tmp_path: Path) -> None:
    uid = own_home.run("study", "list", "--where", "modality=CR|DX").json["studies"][0]["study_instance_uid"]
    made = own_home.run("report", "draft", uid).json
    assert own_home.run("report", "show", made["id"]).json["text"] == made["text"]
    assert [one["id"] for one in own_home.run("report", "list").json["reports"]] == [made["id"]]
    for options in (("--study", uid), ("--words", "effusion"), ("--limit", 1), ("--status", "draft")):
        assert [one["id"] for one in own_home.run("report", "list", *options).json["reports"]] == [made["id"]]
    for options in (("--study", "1.2.3"), ("--words", "zebra"), ("--status", "rejected")):
        assert own_home.run("report", "list", *options).json["reports"] == []
    words = tmp_path / "words.txt"
    words.write_text("No effusion.")
    for decision in (("accept",), ("edit", "--text", words), ("reject", "--reason", "late")):
        stale = own_home.run("report", decision[0], made["id"], *decision[1:], "--revision", 9)
        assert stale.error["code"] == "draft-changed"
    assert own_home.run("report", "edit", made["id"], "--text", words).json["status"] == "edited"
    refused = own_home.run("report", "accept", made["id"])
    listed = [one["id"] for one in own_home.run("report", "show", made["id"]).json["concerns"]]
    if listed:
        assert refused.error["code"] == "draft-concerns"
        assert all(one in refused.error["message"] for one in listed)
        refused = own_home.run("report", "accept", made["id"], "--acknowledge-all")
    assert refused.json["status"] == "accepted"
    again = own_home.run("report", "accept", made["id"])
    assert (again.code, json.loads(again.out)["error"]["code"]) == (1, "draft-settled")
    assert "NOT A REPORT" not in own_home.show("report", "show", made["id"]).out
    out = tmp_path / "report.md"
    assert own_home.run("report", "export", made["id"], "--out", out).json["path"] == str(out)
    rejected = own_home.run("report", "draft", uid).json["id"]
    assert own_home.run("report", "reject", rejected, "--reason", "twice").json["status"] == "rejected"
    with Archive(own_home.path) as archive:
        actions = [one.event.action for one in archive.index.audit.events()]
    assert actions.count("draft") == 2
    assert actions.count("report-decide") == 3
