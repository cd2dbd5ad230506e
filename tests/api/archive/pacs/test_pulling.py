"""Studies are brought in whole, whatever the PACS says of its transfers and whatever ends the work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.ledger import announced, ask_for
from medsiglip.api.archive.pacs.pulling import AT_ONCE, Patience, pull_asked
from medsiglip.api.archive.pacs.recovering import order_recovery
from medsiglip.api.archive.pacs.syncing import SyncOptions
from medsiglip.api.errors import ServiceError
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.archive.pacs.scripted_home import (
    LATE,
    archive,
    held,
    nothing_lies_about,
    open_home,
    pacs,
    states,
)
from tests.api.archive.pacs.scripted_pacs import AWAY, REFUSED, ScriptedPacs
from tests.api.archive.pacs.small_studies import SmallStudy

__all__ = ["archive", "open_home", "pacs"]


def test_what_a_transfer_has_lost_is_asked_for_by_series_and_then_one_by_one(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    study = SmallStudy(1, instances=12, series=2)
    pacs.add(study)
    pacs.lost = {study.sop(number) for number in (1, 3, 4, 8, 12)}
    report = archive.pacs_pull("main", [study.uid])
    assert (report.asked, report.here, report.instances) == (1, 1, 12)
    assert (report.incomplete, report.failed) == ((), ())
    assert report.ingest is not None
    assert report.ingest["files_embedded"] == 12
    assert held(archive) == set(study.sops())
    by_series = [["1", "3"], ["4", "8", "12"]]
    assert [[uid.rpartition(".")[2] for uid in one.split("+")] for one in pacs.asked[1:3]] == by_series
    assert len(pacs.asked) == 1 + 2 + 5
    assert states(archive) == {study.uid: "here"}
    assert nothing_lies_about(archive)


def test_a_study_of_which_some_never_comes_is_incomplete_until_it_does(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    study = SmallStudy(1, instances=4)
    pacs.add(study)
    pacs.gone = {study.sop(2)}
    report = archive.pacs_pull("main", [study.uid])
    [incomplete] = report.incomplete
    assert (report.here, incomplete.expected, incomplete.received) == (0, 4, 3)
    assert held(archive) == set(study.sops()) - pacs.gone
    [row] = archive.index.pacs_studies.page("main")
    assert (row.status, row.expected, row.received) == ("incomplete", 4, 3)
    assert row.failure is not None
    assert row.failure["code"] == "pacs-incomplete"
    pacs.gone = set()
    assert archive.index.pacs_studies.retry("main") == 1
    report = archive.pacs_pull("main")
    assert (report.asked, report.here, report.instances) == (1, 1, 4)
    assert held(archive) == set(study.sops())
    assert nothing_lies_about(archive)


def test_what_holds_no_picture_counts_as_come(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, instances=2)
    pacs.add(study, report=True)
    report = archive.pacs_pull("main", [study.uid])
    assert (report.here, report.instances) == (1, 3)
    assert report.ingest is not None
    assert report.ingest["skipped"] == 1
    assert held(archive) == set(study.sops())
    assert nothing_lies_about(archive)


def test_files_of_other_studies_are_not_taken(archive: Archive, pacs: ScriptedPacs) -> None:
    asked, other = SmallStudy(1), SmallStudy(2)
    pacs.add(asked)
    pacs.files[asked.uid][asked.sop(2)] = (f"{asked.uid}.1.1", other.file(1))
    report = archive.pacs_pull("main", [asked.uid])
    assert [one.received for one in report.incomplete] == [1]
    assert held(archive) == {asked.sop(1)}


def test_one_study_that_fails_stops_no_other(archive: Archive, pacs: ScriptedPacs) -> None:
    studies = [SmallStudy(number) for number in range(3)]
    for study in studies:
        pacs.add(study)
    pacs.problems[studies[1].uid] = [REFUSED] * 3
    report = archive.pacs_pull("main", [*(study.uid for study in studies), "1.2.3"])
    assert (report.asked, report.here) == (4, 2)
    failed = {one.study_instance_uid: one.code for one in report.failed}
    assert failed == {studies[1].uid: "pacs-failed", "1.2.3": "pacs-no-study"}
    assert held(archive) == {studies[0].sop(1), studies[2].sop(1)}
    assert pacs.opened == 1


def test_a_line_that_breaks_costs_the_study_that_came_over_it(archive: Archive, pacs: ScriptedPacs) -> None:
    studies = [SmallStudy(number, 2) for number in range(4)]
    for study in studies:
        pacs.add(study)
    waits: list[float] = []
    pacs.problems[studies[2].uid] = [AWAY] * 5
    with pytest.raises(PacsError) as caught:
        archive.pacs_pull("main", [study.uid for study in studies], patience=AT_ONCE)
    assert caught.value.code == "pacs-unreachable"
    assert held(archive) == {*studies[0].sops(), *studies[1].sops()}
    [connection] = archive.pacs_connections().connections
    assert (connection.state, connection.studies.here, connection.studies.waiting) == ("failing", 2, 2)
    report = archive.pacs_pull("main", patience=Patience(4, waits.append))
    assert (report.asked, report.here) == (2, 2)
    assert waits == [1.0, 2.0, 4.0, 8.0][: len(waits)]
    assert held(archive) == {sop for study in studies for sop in study.sops()}
    assert pacs.asked.count(studies[0].uid) == pacs.asked.count(studies[1].uid) == 1
    assert archive.pacs_connections().connections[0].state == "ok"


def test_a_study_that_is_refused_or_breaks_the_line_blocks_no_sync(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    forbidden, breaking = SmallStudy(1, date=LATE), SmallStudy(2, date=LATE)
    refused = PacsError("pacs-refused", "The PACS main answered with HTTP 403.")
    pacs.problems = {forbidden.uid: [refused] * 9, breaking.uid: [AWAY] * 99}
    patient = SyncOptions(patience=Patience(1, lambda _seconds: None))
    for number in range(10, 16):
        for study in (forbidden, breaking, SmallStudy(number, date=LATE)):
            pacs.add(study)
        with suppress(PacsError):
            archive.pacs_sync("main", patient)
    assert len(held(archive)) == 6
    assert states(archive)[forbidden.uid] == "waiting"
    assert states(archive)[breaking.uid] == "failed", "and is not tried for ever"
    every = [SmallStudy(number) for number in range(20, 30)]
    for study in every:
        pacs.add(study)
        pacs.problems[study.uid] = [refused]
    with pytest.raises(PacsError, match="403"):  # that is the connection
        archive.pacs_pull("main", [study.uid for study in every])
    assert len(pacs.asked) < 60


def test_a_study_that_always_takes_too_long_waits_and_blocks_no_other(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    slow, other = SmallStudy(1), SmallStudy(2)
    for study in (slow, other):
        pacs.add(study)
    late = PacsError("pacs-timeout", "The PACS main takes too long.", may_pass=True)
    pacs.problems[slow.uid] = [late] * 9
    archive.pacs_pull("main", [other.uid])
    with pytest.raises(PacsError):
        archive.pacs_pull("main", [slow.uid], patience=AT_ONCE)
    assert states(archive) == {slow.uid: "waiting", other.uid: "here"}
    assert archive.pacs_pull("main").asked == 0  # it is tried again later


def test_a_run_that_is_ended_leaves_whole_studies_to_the_next(
    open_home: Callable[[], Archive], archive: Archive, pacs: ScriptedPacs
) -> None:
    studies = [SmallStudy(number, 2) for number in range(5)]
    for study in studies:
        pacs.add(study)
    pacs.problems[studies[3].uid] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        archive.pacs_pull("main", [study.uid for study in studies])
    assert held(archive) == set()  # they were fetched, and not yet ingested
    with open_home() as next_one:
        report = next_one.pacs_pull("main")
        assert (report.asked, report.here) == (5, 5)
        assert held(next_one) == {sop for study in studies for sop in study.sops()}
        assert [pacs.asked.count(study.uid) for study in studies] == [1, 1, 1, 2, 1]
        assert nothing_lies_about(next_one)
        assert next_one.verify().ok


def test_what_an_ended_run_has_fetched_comes_in_by_itself(archive: Archive, pacs: ScriptedPacs) -> None:
    first, second = SmallStudy(1, 2), SmallStudy(2)
    for study in (first, second):
        pacs.add(study)
    pacs.problems[second.uid] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        archive.pacs_pull("main", [first.uid, second.uid])
    assert (held(archive), pacs.opened) == (set(), 1)
    Worker(archive, poll_seconds=0.05).run(once=True)
    assert (held(archive), pacs.opened) == (set(first.sops()), 1)
    assert states(archive) == {first.uid: "here", second.uid: "waiting"}
    assert order_recovery(archive) == []


def test_what_an_ended_run_has_fetched_is_counted_once(archive: Archive, pacs: ScriptedPacs) -> None:
    first, second = SmallStudy(1, 2), SmallStudy(2)
    for study in (first, second):
        pacs.add(study)
    kept = ask_for(archive, "main", [first.uid, second.uid])
    pacs.problems[second.uid] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        pull_asked(archive, "main", kept)
    waiting = archive.index.pacs_studies.due("main")
    assert [(one.study_instance_uid, one.attempts) for one in waiting] == [(second.uid, 0)]
    report = pull_asked(archive, "main", kept)
    assert (report.asked, report.here, report.instances) == (2, 2, 3)
    again = pull_asked(archive, "main", kept)
    assert (again.asked, again.here, again.instances) == (2, 2, 3)


def test_a_pull_of_what_is_here_changes_nothing(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, 3)
    pacs.add(study)
    archive.pacs_pull("main", [study.uid])
    again = archive.pacs_pull("main", [study.uid])
    assert (again.asked, again.here) == (1, 1)
    assert again.ingest is not None
    assert (again.ingest["files_embedded"], again.ingest["files_unchanged"]) == (0, 3)
    assert held(archive) == set(study.sops())
    assert len(list((archive.home / "received").rglob("*.dcm"))) == 3
    assert nothing_lies_about(archive)
    assert archive.verify().ok


def test_a_study_that_is_forgotten_while_it_comes_stays_away(archive: Archive, pacs: ScriptedPacs) -> None:
    first, second = SmallStudy(1), SmallStudy(2)
    for study in (first, second):
        pacs.add(study)

    def forget(uid: str) -> None:
        if uid == second.uid:
            archive.forget(study=second.uid)

    pacs.before = forget
    archive.pacs_pull("main", [first.uid, second.uid])
    assert held(archive) == {first.sop(1)}
    assert states(archive) == {first.uid: "here"}
    assert nothing_lies_about(archive)


def test_what_was_forgotten_comes_back_only_when_somebody_asks(archive: Archive, pacs: ScriptedPacs) -> None:
    study, other = SmallStudy(1, 2, date=LATE), SmallStudy(2, date=LATE)
    pacs.add(study)
    archive.pacs_sync("main")
    archive.forget(study=study.uid)
    pacs.add(SmallStudy(1, 3, date=LATE))  # it grows, and another comes
    pacs.add(other)
    archive.pacs_sync("main")
    assert held(archive) == set(other.sops())
    assert study.uid.encode() not in (archive.home / "catalog.db").read_bytes()
    archive.pacs_pull("main", [study.uid])
    assert held(archive) == {*SmallStudy(1, 3).sops(), *other.sops()}


def test_no_sync_brings_a_patient_back_who_was_forgotten(archive: Archive, pacs: ScriptedPacs) -> None:
    theirs, other = SmallStudy(1, date=LATE, patient="A"), SmallStudy(2, date=LATE, patient="B")
    for study in (theirs, other):
        pacs.add(study)
    archive.pacs_sync("main")
    [line] = [one for one in archive.studies().studies if one.study_instance_uid == theirs.uid]
    archive.forget(patient=line.patient_key)
    new, of_other = SmallStudy(3, date=LATE, patient="A"), SmallStudy(4, date=LATE, patient="B")
    for study in (new, of_other):
        pacs.add(study)
    assert archive.pacs_sync("main").here == 1
    assert held(archive) == {*other.sops(), *of_other.sops()}
    archive.pacs_pull("main", [new.uid])
    assert held(archive) == {*other.sops(), *of_other.sops(), *new.sops()}


def test_what_a_pacs_announces_brings_nobody_back_who_was_forgotten(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    first, other = SmallStudy(1, date=LATE, patient="A"), SmallStudy(2, date=LATE, patient="B")
    for study in (first, other):
        pacs.add(study)
    archive.pacs_sync("main")
    [line] = [one for one in archive.studies().studies if one.study_instance_uid == first.uid]
    archive.forget(patient=line.patient_key)
    archive.forget(study=other.uid)
    new, stranger = SmallStudy(3, date=LATE, patient="A"), SmallStudy(4, date=LATE, patient="C")
    for study in (new, stranger):
        pacs.add(study)
    told = [one for study in (first, other, new, stranger) for one in announced(archive, "main", study.uid)]
    assert told == [new.uid, stranger.uid]
    assert pull_asked(archive, "main", told, purpose="waiting").here == 1
    assert archive.pacs_sync("main").here == 0
    assert held(archive) == set(stranger.sops())
    assert set(states(archive)) == {stranger.uid}
    assert new.uid.encode() not in (archive.home / "catalog.db").read_bytes()


def test_a_question_names_the_studies_to_pull(archive: Archive, pacs: ScriptedPacs) -> None:
    early, late = SmallStudy(1, date="20250101"), SmallStudy(2, date="20260101")
    for study in (early, late):
        pacs.add(study)
    report = archive.pacs_pull("main", query=PacsQuery(from_date="20251231"))
    assert (report.asked, held(archive)) == (1, set(late.sops()))
    with pytest.raises(ServiceError) as caught:
        archive.pacs_pull("main", query=PacsQuery(limit=1))
    assert caught.value.code == "too-many-studies"
    with pytest.raises(CatalogError) as unknown:
        archive.pacs_pull("other", ["1.2"])
    assert unknown.value.code == "unknown-pacs"


def test_a_strict_home_keeps_no_uid_of_the_pacs(
    open_home: Callable[[], Archive], pacs: ScriptedPacs, tmp_path: Path
) -> None:
    seed = tmp_path / "seed.dcm"
    seed.write_bytes(SmallStudy(77).file(1))
    studies = [SmallStudy(1, 2, date=LATE), SmallStudy(2, date=LATE)]
    with open_home() as archive:
        archive.ingest([seed], phi="strict")
        archive.add_pacs("main", url="http://127.0.0.1:9/dicom-web")
        for study in studies:
            pacs.add(study)
        assert archive.pacs_pull("main", [studies[0].uid]).here == 1
        assert archive.pacs_sync("main").here == 1
        again = archive.pacs_sync("main", None)
        assert (again.asked, archive.pacs_connections().connections[0].studies.here) == (0, 2)
        assert len(held(archive)) == 4
        pacs.add(SmallStudy(2, 3, date=LATE))
        assert archive.pacs_sync("main").here == 1
        assert len(held(archive)) == 6
        [uid, *_] = [one.study_instance_uid for one in archive.index.pacs_studies.page("main")]
        assert archive.index.pacs_studies.came_from(uid) == ["main"]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert not [study.uid for study in studies if study.uid.encode() in stored]
