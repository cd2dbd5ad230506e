"""Every road from a PACS leads to the same archive: by DICOMweb, C-GET, and C-MOVE to the receiver."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.jobs.worker import Worker
from medsiglip.names import why_not
from tests.api.archive.pacs.orthanc import Orthanc, Setup, free_ports, needs_orthanc
from tests.api.archive.pacs.quick_program import quick_encoder
from tests.api.receiving.running import receiving

MOST_BYTES = 400_000
FEW_FILES, MANY_FILES = 40, 120
Held = set[tuple[str, str]]


def real_files(test_data: Path, count: int) -> list[Path]:
    """Small real files, as many of each folder as of any other, as far as there are so many."""
    small = [one for one in sorted((test_data / "dicom").rglob("*.dcm")) if one.stat().st_size <= MOST_BYTES]
    by_folder: dict[str, list[Path]] = {}
    for one in small:
        by_folder.setdefault(one.relative_to(test_data / "dicom").parts[0], []).append(one)
    return [one for files in by_folder.values() for one in files[: count // len(by_folder)]]


def held(home: Path) -> Held:
    """UIDs and hashes of the pixels of what a catalogue has."""
    with sqlite3.connect(home / "catalog.db") as connection:
        found = connection.execute("SELECT sop_instance_uid, pixel_hash FROM instances").fetchall()
    connection.close()
    assert len(found) == len(set(found))
    return set(found)


def uneven(orthanc: Orthanc) -> set[str]:
    """The instances whose pixel data have an odd length as they are stored."""
    found = set()
    for sop, content in orthanc.stored().items():
        header = pydicom.dcmread(io.BytesIO(content), force=True)
        if len(header.get("PixelData") or b"") % 2:
            found.add(sop)
    return found


@needs_orthanc
@pytest.mark.parametrize(
    ("road", "count"),
    [("move", FEW_FILES), ("move", MANY_FILES), ("dicomweb", MANY_FILES), ("get", MANY_FILES)],
)
@pytest.mark.long(every=4)
def test_what_comes_is_what_the_pacs_holds(
    road: str, count: int, test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenedArchive, "encoder_of", quick_encoder)
    [port] = free_ports(1)
    with Orthanc(tmp_path / "orthanc", Setup(modalities={"MEDSIGLIP": port})) as orthanc:
        orthanc.upload(real_files(test_data, count))
        (tmp_path / "stored").mkdir()
        for number, content in enumerate(orthanc.stored().values()):
            (tmp_path / "stored" / f"{number}.dcm").write_bytes(content)
        studies = orthanc.http.get("/studies", params={"expand": ""}).json()
        uids = sorted({one["MainDicomTags"]["StudyInstanceUID"] for one in studies})
        uids = [uid for uid in uids if why_not("uid", uid) is None]
        with (
            Archive(tmp_path / "direct", workers=1) as direct,
            Archive(tmp_path / "home", workers=1) as archive,
        ):
            direct.ingest([tmp_path / "stored"])
            if road == "dicomweb":
                archive.add_pacs("main", url=orthanc.dicomweb_url)
                report = archive.pacs_pull("main", uids)
            else:
                options: dict[str, Any] = {"host": "127.0.0.1", "port": orthanc.dicom_port}
                if road == "move":
                    options |= {"retrieve": "move", "move_destination": "MEDSIGLIP"}
                archive.add_pacs("main", ae_title="ORTHANC", **options)
                if road == "get":
                    report = archive.pacs_pull("main", uids)
                else:
                    with receiving(archive.home, "--port", str(port), "--quiet", "1") as receiver:
                        report = archive.pacs_pull("main", uids)
                        receiver.handed_over()
                    Worker(archive).run(once=True)
            wanted = held(tmp_path / "direct")
            missing = wanted - held(tmp_path / "home")
            named = {one.study_instance_uid for one in report.incomplete}
            named |= {one.study_instance_uid for one in report.failed}
            print(f"\n{road}: {len(wanted)} instances, {len(missing)} missing, {len(named)} studies named")
            # dcmtk, which sends for Orthanc, pads pixel data of odd length (PS3.5, 7.1.1, wants them even).
            other = held(tmp_path / "home") - wanted
            assert {sop for sop, _ in other} <= (uneven(orthanc) if road != "dicomweb" else set())
            missing = {(sop, pixels) for sop, pixels in missing if sop not in {one for one, _ in other}}
            # What a PACS cannot give is named, and is no more than some single files of broken headers.
            of_study = {
                instance.sop_instance_uid: one.study_instance_uid
                for one in direct.studies().studies
                for _, instance in direct.index.instances.of_study(one.study_instance_uid)
            }
            assert {of_study[sop] for sop, _ in missing} <= named
            assert len(missing) <= 2
            assert archive.verify().ok
            if road != "move":  # its receiver has ended
                again = archive.pacs_pull("main", [uid for uid in uids if uid not in named][:3])
                assert again.here == 3
