"""Instances from real senders: as they were sent, on the disk, and each with the status that fits."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, generate_uid
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID
from medsiglip.ingest.receiving.spool import calling_ae, instance_prefix, spooled, study_folder
from tests.index.small_disk import mounted_disk
from tests.ingest.receiving.receivers import RunningReceiver, associated, data_set_of, run_dcmtk, store

CT, SYNTAX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
CUT_IN_THE_HEADER = {"GH364.dcm", "rtplan_truncated.dcm"}
needs_dcmtk = pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    folder = tmp_path_factory.mktemp("receiver") / "incoming"
    with RunningReceiver(folder, 2, largest_bytes=100_000_000) as running:
        yield running


def ct(**values: Any) -> Dataset:
    """A small CT slice, with these elements instead of its own."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality = "one", "CT"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated, dataset.SamplesPerPixel, dataset.PixelRepresentation = 16, 1, 0
    dataset.PixelData = bytes(range(32))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset, syntax: str = SYNTAX) -> bytes:
    file = BytesIO()
    dcmwrite(file, dataset, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=True)
    return file.getvalue()


def stored_since(receiver: RunningReceiver, before: set[Path]) -> Path:
    [file] = set(receiver.files()) - before
    return file


def announced(path: Path) -> tuple[tuple[str, str], str] | None:
    """Context and SOP Instance UID of a file with File Meta Information; None for what cannot be sent."""
    with path.open("rb") as file:
        if file.read(144)[128:140] != b"DICM\2\0\0\0UL\4\0":
            return None
    try:
        meta = read_file_meta_info(path)
    except (KeyError, ValueError, NotImplementedError):
        return None
    uids = [meta.get(f"MediaStorageSOP{name}UID") for name in ("Class", "Instance")]
    syntax = meta.get("TransferSyntaxUID")
    return ((str(uids[0]), str(syntax)), str(uids[1])) if all(uids) and syntax else None


def test_every_shared_file_is_kept_as_it_was_sent(receiver: RunningReceiver, test_data: Path) -> None:
    by_context: dict[tuple[str, str], list[tuple[Path, str]]] = {}
    for path in sorted(test_data.glob("dicom/**/*")):
        found = announced(path) if path.is_file() and path.stat().st_size < 5_000_000 else None
        if found is not None and found[0][0] != MEDIA_DIRECTORY:
            by_context.setdefault(found[0], []).append((path, found[1]))
    before, statuses, pairs = set(receiver.files()), {}, list(by_context)
    with associated(receiver.port, pairs) as association:
        for pair in pairs:
            for path, uid in by_context[pair][:6]:
                statuses[path] = store(association, pair, data_set_of(path), uid)
    assert len({syntax for _, syntax in pairs}) >= 14
    for path, status in statuses.items():
        assert status == expected_status(path), path
    kept = [path for path, status in statuses.items() if status == 0]
    assert len(kept) > 100
    assert sorted(map(data_set_of, set(receiver.files()) - before)) == sorted(map(data_set_of, kept))


def expected_status(path: Path) -> int:
    """What pydicom, which reads the file by itself, leads to."""
    if path.name in CUT_IN_THE_HEADER:
        return 0xC000
    uids = ["SOPClassUID", "SOPInstanceUID"]
    try:
        dataset = dcmread(path, specific_tags=uids, stop_before_pixels=True)
    except (OSError, ValueError, NotImplementedError):  # beyond the identifying elements
        return 0
    named = [dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID]
    return 0xA900 if [dataset.get(uid) or same for uid, same in zip(uids, named, strict=True)] != named else 0
