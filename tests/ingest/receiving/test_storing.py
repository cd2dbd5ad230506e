"""Instances from real senders: as they were sent, on the disk, and each with the status that fits."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
)

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.receiving.negotiation import VERIFICATION
from medsiglip.ingest.receiving.spool import ARRIVING, calling_ae, spooled, study_folder
from tests.index.small_disk import mounted_disk
from tests.ingest.receiving.receivers import (
    AE_TITLE,
    RunningReceiver,
    associated,
    data_set_of,
    run_dcmtk,
    store,
)
from tests.ingest.receiving.slices import CT, IMPLICIT, SYNTAX, ct, encoded

# pynetdicom leaves the socket of a connection that ends early to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PRIVATE = "1.2.826.0.1.3680043.2.1143.107.104"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
CUT_IN_THE_HEADER = {"GH364.dcm", "rtplan_truncated.dcm"}
needs_dcmtk = pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    folder = tmp_path_factory.mktemp("receiver") / "incoming"
    with RunningReceiver(folder, 2, largest_bytes=100_000_000) as running:
        yield running


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
        found = announced(path) if path.is_file() and path.stat().st_size < 2_000_000 else None
        if found is not None and found[0][0] != MEDIA_DIRECTORY:
            by_context.setdefault(found[0], []).append((path, found[1]))
    before, statuses, pairs = set(receiver.files()), {}, list(by_context)
    with associated(receiver.port, pairs) as association:
        for pair in pairs:
            for path, uid in by_context[pair][:1]:
                statuses[path] = store(association, pair, data_set_of(path), uid)
    assert len({syntax for _, syntax in pairs}) >= 14
    for path, status in statuses.items():
        assert status == expected_status(path), path
    kept = [path for path, status in statuses.items() if status == 0]
    assert len(kept) > 60
    assert sorted(map(data_set_of, set(receiver.files()) - before)) == sorted(map(data_set_of, kept))


def expected_status(path: Path) -> int:
    """What pydicom, which reads the file by itself, leads to."""
    if path.name in CUT_IN_THE_HEADER:
        return 0xC000
    uids = ["SOPClassUID", "SOPInstanceUID"]
    try:
        with quiet():
            dataset = dcmread(path, specific_tags=uids, stop_before_pixels=True)
            named = [dataset.file_meta[f"MediaStorage{uid}"].value for uid in uids]
            found = [dataset.get(uid) or same for uid, same in zip(uids, named, strict=True)]
    except (OSError, ValueError, NotImplementedError):  # beyond the identifying elements
        return 0
    return 0xA900 if found != named else 0


CONTEXTS = [(CT, SYNTAX), (CT, IMPLICIT), (VERIFICATION, IMPLICIT), (PRIVATE, SYNTAX)]


def test_an_instance_is_filed_by_its_study_and_names_its_sender(receiver: RunningReceiver) -> None:
    slice_, before = ct(), set(receiver.files())
    with associated(receiver.port, CONTEXTS, calling="CT-3") as association:
        assert store(association, CONTEXTS[0], encoded(slice_), slice_.SOPInstanceUID) == 0
    file = stored_since(receiver, before)
    assert file.parent.name == study_folder(slice_.StudyInstanceUID)
    assert file.stat().st_mode & 0o777 == 0o600
    assert calling_ae(file) == "CT-3"
    meta = read_file_meta_info(file)
    assert meta.MediaStorageSOPInstanceUID == slice_.SOPInstanceUID
    assert (meta.TransferSyntaxUID, meta.ImplementationClassUID) == (SYNTAX, IMPLEMENTATION_CLASS_UID)
    assert meta.ReceivingApplicationEntityTitle == AE_TITLE
    assert dcmread(file) == slice_
    assert spooled([receiver.incoming], [slice_.SOPInstanceUID, "1.2.3"]) == {slice_.SOPInstanceUID}
    receiver.wait_for(f"stored CT-3 {file.parent.name} {file.name}")


def test_the_same_again_is_there_again(receiver: RunningReceiver) -> None:
    slice_, before = ct(), set(receiver.files())
    for _ in range(2):
        with associated(receiver.port, CONTEXTS) as association:
            assert store(association, CONTEXTS[0], encoded(slice_), slice_.SOPInstanceUID) == 0
    one, other = set(receiver.files()) - before
    assert one.read_bytes() == other.read_bytes()
    assert one.parent == other.parent


def test_uids_that_are_blank_or_missing_are_taken(receiver: RunningReceiver) -> None:
    before = set(receiver.files())
    blank = ct(SOPInstanceUID="", StudyInstanceUID="")
    missing = ct(SOPInstanceUID=None, StudyInstanceUID=None, SOPClassUID=None)
    with associated(receiver.port, CONTEXTS) as association:
        assert store(association, CONTEXTS[0], encoded(blank), "1.2.3") == 0
        assert store(association, CONTEXTS[0], encoded(missing), None) == 0
        assert store(association, CONTEXTS[1], encoded(ct(), IMPLICIT), None) == 0
    files = set(receiver.files()) - before
    assert [dcmread(file, stop_before_pixels=True).PatientID for file in files] == ["one"] * 3
    assert sum(file.parent.name == study_folder("") for file in files) == 2


def test_deflated_and_big_endian_data_sets_are_filed_by_their_study(receiver: RunningReceiver) -> None:
    contexts = [(CT, DeflatedExplicitVRLittleEndian), (CT, ExplicitVRBigEndian)]
    slice_, before = ct(), set(receiver.files())
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    swapped = BytesIO()
    dcmwrite(swapped, slice_, implicit_vr=False, little_endian=False)
    data = deflater.compress(encoded(slice_)) + deflater.flush(), swapped.getvalue()
    with associated(receiver.port, contexts) as association:
        for context, content in zip(contexts, data, strict=True):
            assert store(association, context, content, slice_.SOPInstanceUID) == 0
    files = set(receiver.files()) - before
    assert {file.parent.name for file in files} == {study_folder(slice_.StudyInstanceUID)}
    assert {data_set_of(file) for file in files} == set(data)


@pytest.mark.parametrize(
    ("data", "instance", "named", "status"),
    [
        (encoded(ct(SOPInstanceUID="1.2.4")), "1.2.3", "", 0xA900),
        (encoded(ct(SOPInstanceUID="1.2.3", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")), "1.2.3", "", 0xA900),
        (encoded(ct())[:100], None, "", 0xC000),
        (b"not a data set at all, but some text", "1.2.3", "", 0xC000),
        (b"\x08\0\x05\0CS\xff\xff", "1.2.3", "", 0xC000),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" * 4000, "1.2.3", "", 0xC000),
        (encoded(ct(SOPInstanceUID="1.2.3")), "1.2.3", "1.2.840.10008.5.1.4.1.1.4", 0x0122),
    ],
    ids=["other instance", "other class", "cut", "text", "cut element", "nested", "class of no context"],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    receiver: RunningReceiver, data: bytes, instance: str | None, named: str, status: int
) -> None:
    before = receiver.files()
    failed = len([line for line in receiver.lines if line.startswith("failed")])
    with associated(receiver.port, CONTEXTS) as association:
        assert store(association, CONTEXTS[0], data, instance, named) == status
        good = ct()
        assert store(association, CONTEXTS[0], encoded(good), good.SOPInstanceUID) == 0
    assert len(receiver.files()) == len(before) + 1
    assert not list((receiver.incoming / ARRIVING).iterdir())
    receiver.wait_for("failed", failed + 1)


def test_a_private_class_is_stored_and_no_other_service_is_offered(receiver: RunningReceiver) -> None:
    find = ("1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT)
    odd = ct(SOPClassUID=PRIVATE)
    unknown_syntax = (CT, "1.2.826.0.1.3680043.2.1143.1")
    with associated(receiver.port, [*CONTEXTS, find, unknown_syntax]) as association:
        accepted = {(one.abstract_syntax, one.transfer_syntax[0]) for one in association.accepted_contexts}
        assert store(association, (PRIVATE, SYNTAX), encoded(odd), odd.SOPInstanceUID) == 0
        assert store(association, (VERIFICATION, IMPLICIT), encoded(odd), odd.SOPInstanceUID) == 0x0122
    assert accepted == set(CONTEXTS)


def test_an_instance_that_is_too_large_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    large, small = ct(PixelData=bytes(1_000_000)), ct()
    with RunningReceiver(tmp_path / "incoming", largest_bytes=600_000) as receiver:
        with associated(receiver.port, CONTEXTS) as association:
            assert store(association, CONTEXTS[0], encoded(large), large.SOPInstanceUID) == 0xA700
            assert store(association, CONTEXTS[0], encoded(small), small.SOPInstanceUID) == 0
        assert len(receiver.files()) == 1


def test_a_full_disk_is_said_and_nothing_is_half_there(tmp_path: Path) -> None:
    large, small = ct(PixelData=bytes(3_000_000)), ct()
    with mounted_disk(tmp_path / "disk", 2) as disk, RunningReceiver(disk / "incoming") as receiver:
        with associated(receiver.port, CONTEXTS) as association:
            assert store(association, CONTEXTS[0], encoded(large), large.SOPInstanceUID) == 0xA700
            assert store(association, CONTEXTS[0], encoded(small), small.SOPInstanceUID) == 0
        assert [dcmread(file).SOPInstanceUID for file in receiver.files()] == [small.SOPInstanceUID]
        assert not list((receiver.incoming / ARRIVING).iterdir())


def test_what_must_stay_free_of_the_disk_stays_free(tmp_path: Path) -> None:
    with RunningReceiver(tmp_path / "incoming", min_free_bytes=1 << 60) as receiver:
        with associated(receiver.port, CONTEXTS) as association:
            assert store(association, CONTEXTS[0], encoded(ct()), None) == 0xA700
        assert receiver.files() == []


@needs_dcmtk
def test_programs_of_dcmtk_verify_and_store(receiver: RunningReceiver, tmp_path: Path) -> None:
    assert run_dcmtk("echoscu", receiver.port).returncode == 0
    slices, before = [ct() for _ in range(30)], set(receiver.files())
    for number, one in enumerate(slices):
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dcmwrite(tmp_path / f"{number}.dcm", one, enforce_file_format=True)
    sent = run_dcmtk("storescu", receiver.port, "+sd", tmp_path)
    assert sent.returncode == 0, sent.stderr
    found = {dcmread(file).SOPInstanceUID for file in set(receiver.files()) - before}
    assert found == {one.SOPInstanceUID for one in slices}
