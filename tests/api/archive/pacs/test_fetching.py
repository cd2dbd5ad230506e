"""Files need not stay: what came from a PACS is deleted where it can be fetched again, and only there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.archive.pacs.fetching import order_release, release_fetched
from medsiglip.api.archive.pacs.intake import Intake
from medsiglip.api.archive.pacs.pace import Pace
from medsiglip.api.archive.pictures.previews import preview
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs import opening
from medsiglip.ingest.pacs.records import PacsInstance
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from tests.api.archive.pacs.quick_program import quick_encoder
from tests.api.archive.pacs.scripted_pacs import AWAY, REFUSED, ScriptedClient, ScriptedPacs
from tests.api.archive.pacs.small_studies import SmallStudy

URL = "http://127.0.0.1:9/dicom-web"


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> ScriptedPacs:
    made = ScriptedPacs()
    monkeypatch.setattr(opening, "open_client", made.open)
    monkeypatch.setattr(OpenedArchive, "encoder_of", quick_encoder)
    return made


@pytest.fixture
def archive(pacs: ScriptedPacs, tmp_path: Path) -> Iterator[Archive]:
    assert not pacs.files
    with Archive(tmp_path / "home", workers=1) as opened:
        opened.add_pacs("main", url=URL, keep_files=False)
        yield opened


def lying(archive: Archive) -> list[Path]:
    return sorted(path for path in (archive.home / "received").rglob("*") if path.is_file())


def with_other_pixels(study: SmallStudy) -> bytes:
    """The first instance of a study with the pixels of another one."""
    return study.file(7).replace(study.sop(7).encode(), study.sop(1).encode())


def draw(archive: Archive, uid: str) -> bytes:
    image = archive.index.images_of(uid)[0]
    for kept in (archive.home / "previews").glob("*"):
        kept.unlink()
    return preview(archive, image, 64)


def test_vectors_stay_files_go_and_come_back(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, instances=3)
    pacs.add(study, report=True)
    assert archive.pacs_pull("main", [study.uid]).here == 1
    assert lying(archive) == []
    assert archive.index.files.of_study(study.uid) == []
    detail = archive.study(study.uid)
    assert (detail.files, detail.came_from, len(detail.images)) == ("fetchable", ("main",), 3)
    assert archive.verify().ok
    with pytest.raises(ServiceError) as gone:
        draw(archive, study.uid)
    assert gone.value.code == "picture-gone"
    ids = [one.image_id for one in detail.images]

    fetched = archive.pacs_fetch(study.uid)
    assert (fetched.files, fetched.came_from, fetched.instances) == ("here", ("main",), 4)
    assert archive.study(study.uid).files == "here"
    assert [one.image_id for one in archive.study(study.uid).images] == ids
    assert draw(archive, study.uid).startswith(b"\x89PNG")
    assert archive.pacs_fetch(study.uid).instances == 0

    assert release_fetched(archive, 3600.0).studies == 0
    [marker] = (archive.home / "received").glob("*.fetched")
    os.utime(marker, (1, 1))
    assert order_release(archive)
    released = release_fetched(archive, 3600.0)
    assert (released.studies, released.files, released.kept) == (1, 3, 0)
    assert [path.suffix for path in lying(archive)] == []
    assert archive.study(study.uid).files == "fetchable"
    assert not order_release(archive)


def test_what_the_pacs_no_longer_has_stays(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, instances=2)
    pacs.add(study)
    archive.pacs_pull("main", [study.uid])
    archive.pacs_fetch(study.uid)
    del pacs.files[study.uid][study.sop(2)]
    [marker] = (archive.home / "received").glob("*.fetched")
    os.utime(marker, (1, 1))
    assert (found := release_fetched(archive, 60.0)).kept == 1
    assert found.files == 0
    assert archive.study(study.uid).files == "here"
    assert marker.stat().st_mtime > 1, "and is tried on another day"


def test_files_are_kept_while_the_pacs_is_away(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1)
    pacs.add(study)
    archive.add_pacs("main", url=URL)  # which keeps files
    archive.pacs_pull("main", [study.uid])
    assert len(lying(archive)) == 1

    def away(*_: object) -> None:
        raise AWAY

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_client", away)
        with pytest.raises(PacsError):
            archive.pacs_release("main")
    assert archive.study(study.uid).files == "here"
    assert archive.pacs_release("main").files == 1
    assert archive.study(study.uid).files == "fetchable"


def test_of_files_elsewhere_and_of_uids_used_twice_nothing_is_deleted(
    archive: Archive, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    study, other = SmallStudy(1), SmallStudy(2)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(study.file(1))
    archive.ingest([folder])
    pacs.add(study)
    released = archive.pacs_release("main", [study.uid])
    assert (released.studies, released.files, released.kept) == (0, 0, 0)
    assert (folder / "1.dcm").is_file()

    pacs.add(other)
    archive.add_pacs("main", url=URL)
    archive.pacs_pull("main", [other.uid])
    (folder / "2.dcm").write_bytes(with_other_pixels(other))
    archive.ingest([folder])
    assert len(archive.index.instances.of_study(other.uid)) == 2
    assert archive.pacs_release("main", [other.uid]).kept == 1
    assert archive.study(other.uid).files == "here"


def test_a_pacs_that_lists_the_same_uids_and_gives_other_pixels_releases_nothing(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    study, uploads = SmallStudy(3, instances=2), archive.home / "received" / "a1"
    pacs.add(study)
    uploads.mkdir(parents=True)
    for number in (1, 2):
        (uploads / f"{number}.dcm").write_bytes(study.file(number))
    archive.ingest([uploads])  # it came by another road, and no PACS gave it
    given = pacs.files[study.uid][study.sop(1)]
    pacs.files[study.uid][study.sop(1)] = (given[0], with_other_pixels(study))
    released = archive.pacs_release("main", [study.uid])
    assert (released.studies, released.files, released.kept) == (0, 0, 1)
    assert archive.study(study.uid).files == "here"
    assert [path.name for path in lying(archive)] == ["1.dcm", "2.dcm"], "what was fetched is gone"
    pacs.files[study.uid][study.sop(1)] = given
    assert archive.pacs_release("main", [study.uid]).files == 2
    assert lying(archive) == []
    assert archive.pacs_fetch(study.uid).files == "here"


def test_a_study_that_is_forgotten_while_it_is_compared_is_not_noted_again(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    study, uploads = SmallStudy(4), archive.home / "received" / "a1"
    pacs.add(study)
    uploads.mkdir(parents=True)
    (uploads / "1.dcm").write_bytes(study.file(1))
    archive.ingest([uploads])
    pacs.before = lambda uid: forget_once(archive, uid)
    released = archive.pacs_release("main", [study.uid])
    assert (released.studies, released.files) == (0, 0)
    states = archive.index.pacs_studies.page("main", status="forgotten")
    assert study.uid not in str(archive.index.pacs_studies.page("main"))
    assert [one.study_instance_uid for one in states if one.study_instance_uid == study.uid] == []
    assert archive.index.patients_of([study.uid]) == {}


def forget_once(archive: Archive, uid: str) -> None:
    if archive.index.patients_of([uid]):
        archive.forget(study=uid)


def test_only_what_was_fetched_is_deleted_again(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, instances=2)
    pacs.add(study)
    archive.add_pacs("main", url=URL)  # which keeps files
    archive.pacs_pull("main", [study.uid])
    kept, lost = lying(archive)
    lost.unlink()
    assert archive.pacs_fetch(study.uid).files == "here"
    [marker] = (archive.home / "received").glob("*.fetched")
    os.utime(marker, (1, 1))
    assert release_fetched(archive, 3600.0).files == 2
    assert lying(archive) == [kept]


def test_one_study_that_cannot_be_asked_for_stops_no_release(
    archive: Archive, pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [SmallStudy(number) for number in range(3)]
    archive.add_pacs("main", url=URL, rate=1000)
    for study in studies:
        pacs.add(study)
    archive.pacs_pull("main", [study.uid for study in studies])
    listed = ScriptedClient.instances

    def refusing(client: ScriptedClient, uid: str) -> list[PacsInstance]:
        if uid == studies[1].uid:
            raise REFUSED
        return listed(client, uid)

    spent: list[float] = []
    monkeypatch.setattr(ScriptedClient, "instances", refusing)
    monkeypatch.setattr(Pace, "__call__", lambda _pace, operations: spent.append(operations))
    released = archive.pacs_release("main")
    assert (released.studies, released.files, released.kept) == (2, 2, 1)
    # Of each of two: the list, once more the list, and one instance.
    assert sum(spent) == 6, "it keeps to the rate of the connection"


def test_a_fetch_by_the_receiver_says_that_the_files_are_on_their_way(
    archive: Archive, pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SmallStudy(1)
    pacs.add(study)
    archive.pacs_pull("main", [study.uid])
    archive.add_pacs(
        "main", host="127.0.0.1", port=9, ae_title="PACS", retrieve="move", move_destination="HERE"
    )
    pacs.gone = {study.sop(1)}  # from this side
    monkeypatch.setattr(ScriptedClient, "retrieves_elsewhere", True, raising=False)
    monkeypatch.setattr(Intake, "_received", lambda _intake, missing: set(missing))
    with pytest.raises(PacsError) as caught:
        archive.pacs_fetch(study.uid)
    assert (caught.value.code, caught.value.may_pass) == ("pacs-on-the-way", True)


def test_changed_pictures_are_said(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1)
    pacs.add(study)
    archive.pacs_pull("main", [study.uid])
    series, _ = pacs.files[study.uid][study.sop(1)]
    pacs.files[study.uid][study.sop(1)] = (series, with_other_pixels(study))
    with pytest.raises(ServiceError) as failed:
        archive.pacs_fetch(study.uid)
    assert failed.value.code == "pacs-changed"
    assert len(archive.study(study.uid).images) == 2, "both are kept"


@pytest.mark.parametrize("gone", ["dropped", "released"])
def test_a_series_that_grows_is_fetched_whole_and_rendered_anew(
    tmp_path: Path, pacs: ScriptedPacs, gone: str
) -> None:
    [made] = make_studies(1, 5, ["chest-ct"])
    write_study(made, tmp_path / "all")
    files = sorted((tmp_path / "all").rglob("*.dcm"))
    held = pacs.files.setdefault(made.study_instance_uid, {})
    pacs.dates[made.study_instance_uid] = "20260301"
    from pydicom import dcmread

    def put(path: Path) -> None:
        header = dcmread(path, stop_before_pixels=True)
        held[header.SOPInstanceUID] = (header.SeriesInstanceUID, path.read_bytes())

    for path in files[: len(files) // 2]:
        put(path)
    with Archive(tmp_path / "home", workers=1) as archive, Archive(tmp_path / "whole", workers=1) as whole:
        archive.add_pacs("main", url=URL, keep_files=gone != "dropped")
        archive.pacs_pull("main", [made.study_instance_uid])
        if gone == "released":
            assert archive.pacs_release("main").studies == 1
        for path in files[len(files) // 2 :]:
            put(path)
        assert archive.pacs_sync("main").here == 1
        whole.ingest([tmp_path / "all"])
        uid = made.study_instance_uid
        found, expected = archive.study(uid), whole.study(uid)
        assert archive.home.exists()
        assert len(found.images) == len(expected.images)
        kept = [(one.sop_instance_uid, one.rendering, one.rendering_params) for one in found.images]
        assert kept == [
            (one.sop_instance_uid, one.rendering, one.rendering_params) for one in expected.images
        ]
        assert found.files == ("fetchable" if gone == "dropped" else "here")
        middle = found.images[len(found.images) // 2]
        assert archive.index.thumbnails.one(middle.image_id).thumbnail is not None


def test_who_cannot_fetch_is_told(archive: Archive, pacs: ScriptedPacs, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(SmallStudy(1).file(1))
    archive.ingest([folder])
    (folder / "1.dcm").unlink()
    assert archive.study(SmallStudy(1).uid).files == "gone"
    with pytest.raises(ServiceError) as failed:
        archive.pacs_fetch(SmallStudy(1).uid)
    assert failed.value.code == "no-pacs"
    pacs.add(SmallStudy(1))
    assert archive.pacs_fetch(SmallStudy(1).uid, name="main").files == "here"
    (folder / "2.dcm").write_bytes(SmallStudy(2).file(1))
    with Archive(tmp_path / "strict", workers=1) as strict:
        strict.ingest([folder], phi="strict")
        strict.add_pacs("main", url=URL)
        strict.pacs_pull("main", [SmallStudy(1).uid])
        uid = strict.studies().studies[0].study_instance_uid
        for asked in (lambda: strict.pacs_fetch(uid), lambda: strict.pacs_release("main")):
            with pytest.raises(ServiceError) as refused:
                asked()
            assert refused.value.code == "strict-home"
