"""What a sender was told is stored: kept once, brought in whatever happens, and gone when it is forgotten."""

from __future__ import annotations

import shutil
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, BasicTextSRStorage, DeflatedExplicitVRLittleEndian

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.received import sweep
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.receiving import handing_over
from medsiglip.api.receiving.handing_over import HandOver
from medsiglip.index.errors import CatalogError
from medsiglip.index.service import received_batches
from medsiglip.index.service.audit_log import AuditEvent
from medsiglip.index.service.received_batches import ReceivedBatches
from medsiglip.ingest.receiving.spool import Announced, Spool
from tests.api.receiving.conftest import data_set_of, spool_file
from tests.api.receiving.test_commitments import outcome_of_files
from tests.api.receiving.test_handing_over import jobs, markers, studies, uid_of


def ingest_spooled(archive: Archive) -> None:
    HandOver(archive).hand_over(studies(archive))
    Worker(archive).run(once=True)


def received(archive: Archive) -> list[Path]:
    return sorted((archive.home / "received").rglob("*.dcm"))


def fail_ingests(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the jobs that wait, each of which fails."""
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "ingest_apart", lambda *_, **__: 1 / 0)
        Worker(archive).run(once=True)


def rest_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = ReceivedBatches.abandoned
    monkeypatch.setattr(ReceivedBatches, "abandoned", lambda store: at_once(store, -1.0))


def test_what_is_sent_again_is_kept_once(archive: Archive, photographs: list[Path], tmp_path: Path) -> None:
    """Alone or with others, with a picture or without; what differs in a byte stays."""
    report = pydicom.dcmread(photographs[0])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    del report.PixelData
    report.save_as(tmp_path / "sr.dcm")
    everything = [*photographs[:2], tmp_path / "sr.dcm"]
    for _ in range(2):
        for file in (*everything, everything[0]):
            spool_file(archive.home, file)
        ingest_spooled(archive)
        assert len(received(archive)) == len(everything)
    kept = {data_set_of(path) for path in received(archive)}
    assert kept == {data_set_of(path) for path in everything}
    assert {str(path.parent) for path in received(archive)} == {
        str(path) for path in (archive.home / "received").iterdir()
    }
    assert archive.verify().ok
    assert outcome_of_files(archive, everything).failed == []
    spool_file(archive.home, photographs[0], "OTHER")
    ingest_spooled(archive)
    assert len(received(archive)) == len(everything) + 1
    archive.forget(study=uid_of(photographs[0]))
    assert [uid_of(path) for path in received(archive)] == [uid_of(photographs[1])]


def test_of_two_workers_none_deletes_what_the_other_relies_on(
    archive: Archive, photographs: list[Path]
) -> None:
    from medsiglip.api.archive.received import discard_repeated

    for _ in range(2):
        spool_file(archive.home, photographs[0])
        HandOver(archive).hand_over(studies(archive))
    folders = [Path(job.parameters["received"]) for job in jobs(archive)]
    archive.ingest(folders)
    for folder in reversed(folders):
        discard_repeated(archive.index, folder)
    assert [path.parent for path in received(archive)] == [folders[0]]


def test_a_home_that_has_moved_takes_its_failed_studies_along(
    tmp_path: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others failed of which nothing is there any more."""
    with Archive(tmp_path / "home") as archive:
        archive.make()
        for file in photographs:
            spool_file(archive.home, file)
        HandOver(archive).hand_over(studies(archive))
        for job in jobs(archive):
            archive.index.jobs.cancel(job.id)
        for job in jobs(archive)[:-1]:
            shutil.rmtree(job.parameters["received"])
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(received_batches, "_PAGE", 1)
    rest_no_longer(monkeypatch)
    with Archive(tmp_path / "elsewhere") as archive:
        assert HandOver(archive).retry_failed() == 1
        Worker(archive).run(once=True)
        assert jobs(archive)[-1].status == "done"
        assert archive.index.info().studies == 1


def test_a_forgotten_study_is_brought_back_by_no_job(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By none that failed, none that waits, and none that a killed receiver had not begun."""
    failed, other, waiting = photographs[:3]
    for file in (failed, other):
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    fail_ingests(archive, monkeypatch)
    for file in (waiting, failed):
        spool_file(archive.home, file)
    HandOver(archive).hand_over(studies(archive))
    spool_file(archive.home, waiting)
    with monkeypatch.context() as patch:
        patch.setattr(HandOver, "_submit", lambda *_: None)
        HandOver(archive).hand_over(studies(archive))
    assert len(received(archive)) == 5
    for file in (failed, waiting):
        assert archive.forget(study=uid_of(file)).images == 0
        with pytest.raises(CatalogError):
            archive.forget(study=uid_of(file))
    assert [uid_of(path) for path in received(archive)] == [uid_of(other)]
    rest_no_longer(monkeypatch)
    hand = HandOver(archive)
    assert (hand.repair(), hand.retry_failed()) == (0, 1)
    assert markers(archive) == []
    Worker(archive).run(once=True)
    assert [one.study_instance_uid for one in archive.studies().studies] == [uid_of(other)]


def strict_home(folder: Path, first: Path) -> Archive:
    (folder / "first").mkdir()
    shutil.copy(first, folder / "first")
    archive = Archive(folder / "strict")
    archive.ingest([folder / "first"], phi="strict")
    return archive


def test_a_strict_home_forgets_by_its_own_uid_what_waits(tmp_path: Path, photographs: list[Path]) -> None:
    with strict_home(tmp_path, photographs[0]) as archive:
        [study] = archive.studies().studies
        spool_file(archive.home, photographs[0])
        HandOver(archive).hand_over(studies(archive))
        spool_file(archive.home, photographs[0])
        archive.forget(study=study.study_instance_uid)
        assert (studies(archive), received(archive)) == ([], [])


def test_a_strict_home_keeps_no_file_though_its_worker_was_killed(
    tmp_path: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of the job and its clean-up."""
    with strict_home(tmp_path, photographs[0]) as archive:
        spool_file(archive.home, photographs[1])
        HandOver(archive).hand_over(studies(archive))
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "_clean_up", lambda *_: None)
            Worker(archive).run(once=True)
        assert len(received(archive)) == 1
        sweep(archive.index, 1.0)
        assert list((archive.home / "received").iterdir()) == []


def test_a_deflated_study_is_handed_over_in_little_memory(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    """Its pixel data would fill the memory when they are inflated."""
    small = pydicom.dcmread(photographs[0])
    del small.PixelData
    small.save_as(tmp_path / "small.dcm", implicit_vr=False, little_endian=True)
    squeezed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    parts = [squeezed.compress(data_set_of(tmp_path / "small.dcm"))]
    parts.append(squeezed.compress(b"\xe0\x7f\x10\0OW\0\0" + (1 << 28).to_bytes(4, "little")))
    parts += [squeezed.compress(bytes(1 << 20)) for _ in range(64)]
    spool = Spool(archive.home / "incoming", 1 << 30, 0)
    spool.prepare()
    uids = small.SOPClassUID, small.SOPInstanceUID, DeflatedExplicitVRLittleEndian
    arriving = spool.begin(Announced(*uids, "CT1", "MEDSIGLIP"))
    arriving.write(memoryview(b"".join((*parts, squeezed.flush()))))
    arriving.finish()
    tracemalloc.start()
    try:
        assert HandOver(archive).hand_over(studies(archive)) == 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    [event] = [one.event for one in archive.index.audit.events() if one.event.action == "receive"]
    assert event.studies == (uid_of(photographs[0]),)


def test_what_comes_while_an_empty_folder_is_moved_gets_a_job(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender may have begun to write into it by its old name."""
    folder = archive.home / "incoming" / ("a" * 32)
    folder.mkdir(parents=True)
    look = handing_over._events

    def late(opened: Archive, batch: Path) -> list[AuditEvent]:
        found = look(opened, batch)
        shutil.copy(photographs[0], batch)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(handing_over, "_events", late)
        HandOver(archive).hand_over([folder])
    assert HandOver(archive).repair() == 1
    Worker(archive).run(once=True)
    assert archive.index.info().images == 1


def test_a_folder_that_cannot_be_read_holds_up_no_other(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in photographs:
        spool_file(archive.home, file)
    look, bad = handing_over._events, set[Path]()

    def fail(opened: Archive, batch: Path) -> list[AuditEvent]:
        if not bad or batch in bad:
            bad.add(batch)
            raise PermissionError(13, "Permission denied")
        return look(opened, batch)

    with monkeypatch.context() as patch:
        patch.setattr(handing_over, "_events", fail)
        with pytest.raises(PermissionError):
            HandOver(archive).hand_over(studies(archive))
        with pytest.raises(PermissionError):
            HandOver(archive).repair()
    assert len(jobs(archive)) == len(photographs) - 1
    assert HandOver(archive).repair() == 1
    assert (len(jobs(archive)), markers(archive)) == (len(photographs), [])


def test_a_forgotten_patient_takes_new_studies_and_instances_of_no_study_along(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    """A receiver has them, and the index has never heard of them."""
    own, other = photographs[:2]
    spool_file(archive.home, own)
    HandOver(archive).hand_over(studies(archive))
    Worker(archive).run(once=True)
    key = archive.study(uid_of(own)).patient_key

    def written(name: str, source: Path, study: str) -> Path:
        made = pydicom.dcmread(source)
        made.StudyInstanceUID = study
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{len(name)}7")
        made.save_as(tmp_path / f"{name}.dcm")
        return tmp_path / f"{name}.dcm"

    theirs, later = written("a", own, "2.25.11"), written("bb", own, "2.25.12")
    of_none, of_other = written("ccc", own, ""), written("dddd", other, "")
    spool_file(archive.home, theirs)
    HandOver(archive).hand_over(studies(archive))
    for file in (later, of_none, of_other):
        spool_file(archive.home, file)
    archive.forget(patient=key)
    left = [path for folder in studies(archive) for path in folder.iterdir()]
    assert [pydicom.dcmread(path).SOPInstanceUID for path in left] == ["2.25.47"]
    assert received(archive) == []
    [job] = [one for one in jobs(archive) if one.status != "done"]
    assert job.status == "cancelled"

    spool_file(archive.home, later)
    assert archive.forget(patient=key).images == 0, "the index does not know them, and they wait"
    with pytest.raises(CatalogError):
        archive.forget(patient=key)
