"""`pacs pull`, `sync`, `status` and `retry` at the command line."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.pacs import DeliveryCounts, LedgerCounts, PacsConnection, PacsList
from medsiglip.api.archive.archive import Archive
from medsiglip.api.cli.commands.pacs import syncing
from medsiglip.api.cli.presentation.pacs import show_connections
from medsiglip.api.cli.presentation.tables import printed
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.archive.pacs.scripted_home import LATE, archive, open_home, pacs
from tests.api.archive.pacs.scripted_pacs import ScriptedPacs
from tests.api.archive.pacs.small_studies import SmallStudy
from tests.api.conftest import Ran, run

__all__ = ["archive", "open_home", "pacs"]


def at(home: Path, *words: object) -> Ran:
    return run("--home", home, "--json", "pacs", *words)


def test_studies_are_pulled_listed_and_tried_again(archive: Archive, pacs: ScriptedPacs) -> None:
    early, late = SmallStudy(1, 3, date="20200101"), SmallStudy(2, date=LATE)
    pacs.add(early)
    pacs.add(late)
    pacs.gone = {early.sop(2)}
    pulled = at(archive.home, "pull", "main", early.uid).json
    assert (pulled["asked"], pulled["here"]) == (1, 0)
    [incomplete] = pulled["incomplete"]
    assert incomplete == {"study_instance_uid": early.uid, "expected": 3, "received": 2}
    asked = at(archive.home, "pull", "main", "--where", "modality=OT", "--since", "2026-03-01").json
    assert (asked["asked"], asked["here"]) == (1, 1)
    assert (pacs.queries[-1].modality, pacs.queries[-1].from_date) == ("OT", "20260301")
    listed = at(archive.home, "status", "main", "--limit", 1).json
    assert [one["status"] for one in listed["studies"]] == ["here"]
    rest = at(archive.home, "status", "main", "--cursor", listed["cursor"]).json
    assert [(one["status"], one["received"]) for one in rest["studies"]] == [("incomplete", 2)]
    only = at(archive.home, "status", "main", "--status", "incomplete").json
    assert [one["study_instance_uid"] for one in only["studies"]] == [early.uid]
    pacs.gone = set()
    assert at(archive.home, "retry", "main").json == {"waiting": 1}
    assert at(archive.home, "pull", "main").json["here"] == 1
    shown = run("--home", archive.home, "pacs", "status", "main")
    assert (shown.code, early.uid in shown.out) == (0, True)
    actions = [one.event.action for one in archive.index.audit.events()]
    assert actions.count("pacs-pull") == 4


def test_what_a_person_reads_of_a_pull(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, 2)
    pacs.add(study)
    pacs.gone = {study.sop(1)}
    said = run("--home", archive.home, "pacs", "pull", "main", study.uid).out
    assert "0 of 1 study here, 1 instance came" in said
    assert "1 image embedded" in said
    assert run("--home", archive.home, "pacs", "retry", "main").out == "1 study waits again\n"
    for words in ((study.uid, "--since", "2026-03-01"), ("--since", LATE, "--where", f"from_date={LATE}")):
        assert at(archive.home, "pull", "main", *words).error["code"] == "usage"
    refused = at(archive.home, "pull", "main", "Doe^John").error
    assert refused["code"] == "bad-pacs-question"
    assert "--json" in refused["message"]
    assert len(at(archive.home, "status", "main").json["studies"]) == 1


def test_each_part_of_a_question_reaches_the_pacs(archive: Archive, pacs: ScriptedPacs) -> None:
    asked = {
        "patient_id": "P1*",
        "patient_name": "Doe^J?hn",
        "accession_number": "A7",
        "modality": "CT",
        "study_description": "Chest*",
        "from_date": "2026-03-01",
        "to_date": "2026-03-31",
    }
    words = [word for name, value in asked.items() for word in (f"--{name.replace('_', '-')}", value)]
    at(archive.home, "find", "main", *words, "--study", "1.2.3", "--limit", 7)
    dates = {name: value.replace("-", "") for name, value in asked.items() if name.endswith("_date")}
    # One more than are shown says whether there are more.
    expected = PacsQuery(**{**asked, **dates}, study_instance_uid="1.2.3", limit=8)
    assert pacs.queries == [expected]


def test_files_are_released_and_fetched_again(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, 2)
    pacs.add(study)
    at(archive.home, "pull", "main", study.uid)
    assert at(archive.home, "release", "main", study.uid).json == {"studies": 1, "files": 2, "kept": 0}
    assert run("--home", archive.home, "pacs", "release", "main").out == "0 files of 0 studies deleted\n"
    fetched = at(archive.home, "fetch", study.uid, "--from", "main").json
    assert (fetched["files"], fetched["instances"]) == ("here", 2)
    assert "are here" in run("--home", archive.home, "pacs", "fetch", study.uid).out
    assert at(archive.home, "fetch", study.uid, "--from", "other").error["code"] == "unknown-pacs"


def test_no_answer_commands_a_terminal() -> None:
    assert printed("\x1b[2J\x9b1m[bold]x") == "\\x1b[2J\\x9b1m\\[bold]x"
    file = io.StringIO()
    failure = {"code": "pacs-failed", "message": "no\x1b[31m"}
    listed = PacsConnection(
        name="main",
        kind="dimse",
        state="failing",
        last_seen_at=None,
        failed_at=None,
        failure=ErrorDetail.model_validate(failure),
        studies=LedgerCounts(waiting=0, here=0, incomplete=0, failed=0),
        deliveries=DeliveryCounts(waiting=1, sent=0, failed=2),
        syncing=False,
    )
    show_connections(Console(file=file), PacsList(connections=(listed,)).to_json())
    assert "\x1b" not in file.getvalue()
    assert file.getvalue().splitlines()[1].split()[-1] == "3"


def test_a_sync_is_ordered_and_followed(
    archive: Archive, pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [SmallStudy(1, date="20200101"), SmallStudy(2, date=LATE), SmallStudy(3, date=LATE)]
    for study in studies[:2]:
        pacs.add(study)
    words = ("sync", "main", "--since", "2026-03-01", "--where", "modality=OT")
    synced = at(archive.home, *words).json
    assert (synced["found"], synced["here"], synced["waiting"]) == (1, 1, 0)
    assert pacs.queries[0].modality == "OT"
    assert at(archive.home, "sync", "main", "--where", "from_date=2026-03-01").error["code"] == (
        "bad-pacs-question"
    )
    assert at(archive.home, "sync", "unknown").error["code"] == "unknown-pacs"
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt
        pacs.add(studies[2])

    monkeypatch.setattr(syncing, "time", SimpleNamespace(sleep=pause))
    followed = at(archive.home, "sync", "main", "--follow", 7).json
    assert pauses == [7.0, 7.0]
    assert (followed["found"], followed["here"]) == (2, 1)
    assert archive.pacs_connections().connections[0].studies.here == 3
