"""Quiet studies become jobs, each once, whatever ends the receiver in between."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID, BasicTextSRStorage

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.receiving import handing_over
from medsiglip.api.receiving.handing_over import HandOver
from medsiglip.api.receiving.state import FOLDER
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.audit_log import AuditLog
from medsiglip.index.service.jobs import Job, JobQueue
from medsiglip.index.service.received_batches import ReceivedBatches
from medsiglip.ingest.receiving.spool import study_folder
from tests.api.receiving.conftest import spool_file


def studies(archive: Archive) -> list[Path]:
    """The folders of the spool."""
    return sorted(one for one in (archive.home / "incoming").iterdir() if not one.name.startswith("."))


def jobs(archive: Archive) -> list[Job]:
    return list(reversed(archive.index.jobs.listed()))


def events(archive: Archive) -> list[tuple[str, tuple[str, ...], int]]:
    found = [one.event for one in archive.index.audit.events() if one.event.action == "receive"]
    return [(one.actor, one.studies, one.details["instances"]) for one in found]


def markers(archive: Archive) -> list[Path]:
    return list((archive.home / "received").glob("*.handed"))


def uid_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def test_a_study_becomes_one_job_with_its_senders_in_the_trail(archive: Archive, series: list[Path]) -> None:
    for number, file in enumerate(series):
        spool_file(archive.home, file, "CT1" if number % 3 else "CT2")
    assert HandOver(archive).hand_over(studies(archive)) == 1
    assert (studies(archive), markers(archive)) == ([], [])
    [job] = jobs(archive)
    parameters = dict(job.parameters)
    folder = Path(parameters["received"])
    assert folder.parent == archive.home / "received"
    assert len(list(folder.glob("*.dcm"))) == len(series)
    few = len(series)
    expected = {
        "paths": [str(folder)],
        "metadata": None,
        "received": str(folder),
        "files": few,
        "answered": True,
    }
    assert parameters == expected
    some = -(-len(series) // 3)
    study = uid_of(series[0])
    assert events(archive) == [("aet:CT1", (study,), few - some), ("aet:CT2", (study,), some)]
    assert archive.index.audit.verify().ok


STEPS = {"rename": os, "append": AuditLog, "submit": JobQueue, "_remove": handing_over}


def fail_at(step: str, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """End the receiver before or after a step, which may be half of what it does."""
    whole = getattr(STEPS[step], step)

    def fail(*arguments: Any, **named: Any) -> None:
        if after:
            whole(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(STEPS[step], step, fail)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_receiver_that_ends_at_any_step_leaves_a_study_that_is_handed_over_once(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    spool_file(archive.home, photographs[0])
    found = studies(archive)
    with monkeypatch.context() as patch:
        fail_at(step, patch, after=when == "after")
        with pytest.raises(KeyboardInterrupt):
            HandOver(archive).hand_over(found)
    for _ in range(2):
        hand = HandOver(archive)
        hand.repair()
        hand.hand_over(studies(archive))
    assert (studies(archive), markers(archive)) == ([], [])
    [job] = jobs(archive)
    assert [one.name for one in (archive.home / "received").iterdir()] == [
        Path(job.parameters["received"]).name
    ]
    assert events(archive) == [("aet:PACS", (uid_of(photographs[0]),), 1)]


def test_one_receiver_of_several_hands_over(archive: Archive, photographs: list[Path]) -> None:
    for file in photographs:
        spool_file(archive.home, file)
    found = studies(archive)
    (archive.home / FOLDER).mkdir()
    with (archive.home / FOLDER / "hand-over.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert HandOver(archive).hand_over(found) == HandOver(archive).repair() == 0
    assert studies(archive) == found
    assert HandOver(archive).hand_over(found[:2]) == 2
    assert HandOver(archive).hand_over(found) == len(found) - 2  # the others are gone
    assert len(jobs(archive)) == len(found)


def test_while_the_catalogue_is_away_a_study_waits_with_its_marker(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_file(archive.home, photographs[0])

    def away(*_: Any, **__: Any) -> None:
        raise CatalogError("database-unreachable", "The database does not answer.")

    found = studies(archive)
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", away)
        with pytest.raises(CatalogError):
            HandOver(archive).hand_over(found)
    assert len(markers(archive)) == 1
    spool_file(archive.home, photographs[0])  # more comes meanwhile
    hand = HandOver(archive)
    assert (hand.repair(), hand.hand_over(studies(archive)), hand.repair()) == (1, 1, 0)
    assert len(jobs(archive)) == len(events(archive)) == 2


def test_what_never_came_is_no_job(archive: Archive) -> None:
    folder = archive.home / "incoming" / ("a" * 32)
    folder.mkdir(parents=True)
    HandOver(archive).hand_over([folder])
    assert (jobs(archive), events(archive)) == ([], [])
    assert list((archive.home / "received").iterdir()) == []


def test_uploads_of_others_are_left_alone(archive: Archive) -> None:
    other = archive.home / "received" / ("c" * 32)
    other.mkdir(parents=True)
    (other / "1.dcm").write_bytes(b"x")
    assert HandOver(archive).repair() == 0
    assert (jobs(archive), [one.name for one in other.iterdir()]) == ([], ["1.dcm"])


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_files_that_were_acknowledged_outlive_a_job_and_get_another_one(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    spool_file(archive.home, photographs[0])
    hand = HandOver(archive)
    hand.hand_over(studies(archive))
    [job] = jobs(archive)
    if end == "fail":
        with monkeypatch.context() as patch:
            patch.setattr(Archive, "ingest_apart", lambda *_, **__: 1 / 0)
            Worker(archive).run(once=True)
    else:
        archive.index.jobs.cancel(job.id)
    folder = Path(job.parameters["received"])
    assert len(list(folder.iterdir())) == 1
    assert hand.retry_failed() == 0  # it rests for a while
    at_once = ReceivedBatches.abandoned
    monkeypatch.setattr(ReceivedBatches, "abandoned", lambda store: at_once(store, -1.0))
    assert (hand.retry_failed(), hand.retry_failed()) == (1, 0)
    Worker(archive).run(once=True)
    assert [one.status for one in jobs(archive)] == ["failed" if end == "fail" else "cancelled", "done"]
    assert hand.retry_failed() == 0
    assert archive.index.info().images == 1
    assert len(list(folder.iterdir())) == 1


def test_what_holds_no_picture_stays_until_its_study_is_forgotten(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    report = pydicom.dcmread(photographs[0])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    del report.PixelData
    report.save_as(tmp_path / "sr.dcm")
    damaged = tmp_path / "damaged.dcm"
    picture = pydicom.dcmread(photographs[0])
    picture.SOPInstanceUID = picture.file_meta.MediaStorageSOPInstanceUID = UID("2.25.2")
    picture.PixelData = picture.PixelData[:100]
    picture.save_as(damaged)
    for file in (photographs[0], tmp_path / "sr.dcm", damaged):
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    Worker(archive).run(once=True)
    [job] = jobs(archive)
    result = job.result
    assert (result["files_embedded"], len(result["skipped"]), len(result["quarantined"])) == (1, 1, 1)
    assert len(list(Path(job.parameters["received"]).iterdir())) == 3
    archive.forget(study=uid_of(photographs[0]))
    assert list((archive.home / "received").iterdir()) == []


def test_a_strict_home_empties_the_spool_and_keeps_no_file(tmp_path: Path, photographs: list[Path]) -> None:
    first = tmp_path / "first"
    first.mkdir()
    shutil.copy(photographs[0], first)
    with Archive(tmp_path / "strict") as archive:
        archive.ingest([first], phi="strict")
        for file in photographs[1:]:
            spool_file(archive.home, file)
        count = len(studies(archive))
        assert HandOver(archive).hand_over(studies(archive)) == count
        Worker(archive).run(once=True)
        assert {one.status for one in jobs(archive)} == {"done"}
        assert archive.index.info().studies == count + 1
        assert list((archive.home / "received").iterdir()) == []
        hidden = {one.study_instance_uid for one in archive.studies().studies}
        for actor, recorded, instances in events(archive):
            assert (actor, instances) == ("aet:PACS", 1)
            assert hidden.issuperset(recorded)
            assert not {uid_of(file) for file in photographs}.intersection(recorded)


def test_small_studies_share_a_run(archive: Archive, photographs: list[Path]) -> None:
    for file in photographs:
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    works = Worker(archive)
    works.run(once=True)
    assert dict(works.ended) == {"done": 1}
    assert {one.status for one in jobs(archive)} == {"done"}
    assert all(len(list(Path(one.parameters["received"]).iterdir())) == 1 for one in jobs(archive))


def test_the_trail_has_no_text_that_is_no_uid(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    """A sender may write a name where a UID belongs."""
    named = pydicom.dcmread(photographs[0])
    with pytest.warns(UserWarning, match="UI"):
        named.StudyInstanceUID = "Miller^Anna"
    named.save_as(tmp_path / "named.dcm")
    spool_file(archive.home, tmp_path / "named.dcm", " ")
    HandOver(archive).hand_over(studies(archive))
    assert events(archive) == [("aet:unknown", (), 1)]
    Worker(archive).run(once=True)
    assert jobs(archive)[0].result["files_embedded"] == 1


def test_what_waits_of_a_forgotten_case_goes_too(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    first, second = photographs[:2]
    of_another = pydicom.dcmread(photographs[2])
    of_another.PatientID = "somebody else"
    third = tmp_path / "third.dcm"
    of_another.save_as(third)
    for file in (first, second):
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    Worker(archive).run(once=True)
    for file in (first, second, third):
        spool_file(archive.home, file)
    archive.forget(study=uid_of(first))
    archive.forget(patient=archive.study(uid_of(second)).patient_key)
    assert [one.name for one in studies(archive)] == [study_folder(uid_of(third))]
    assert archive.forget(study=uid_of(third)).images == 0
    assert studies(archive) == []
    with pytest.raises(CatalogError):
        archive.forget(study=uid_of(third))


def test_a_backup_has_what_was_received_and_not_ingested(
    archive: Archive, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the spool, without a job, with one that waits, and with one that was cancelled."""
    for file in photographs[:2]:
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    archive.index.jobs.cancel(jobs(archive)[0].id)
    spool_file(archive.home, photographs[2])
    found = studies(archive)
    with monkeypatch.context() as patch:
        fail_at("submit", patch, after=False)
        with pytest.raises(KeyboardInterrupt):
            HandOver(archive).hand_over(found)
    spool_file(archive.home, photographs[0])
    archive.back_up(tmp_path / "backup")
    with Archive(tmp_path / "restored") as restored:
        restored.restore_backup(tmp_path / "backup")
    with Archive(tmp_path / "restored") as restored:
        hand = HandOver(restored)
        assert (hand.repair(), hand.hand_over(studies(restored))) == (1, 1)
        at_once = ReceivedBatches.abandoned
        monkeypatch.setattr(ReceivedBatches, "abandoned", lambda store: at_once(store, -1.0))
        assert hand.retry_failed() == 1
        Worker(restored).run(once=True)
        assert restored.index.info().studies == 3
        assert restored.verify().ok
