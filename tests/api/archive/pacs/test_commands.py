"""`pacs pull`, `sync`, `status` and `retry` at the command line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.cli.commands.pacs import syncing
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
