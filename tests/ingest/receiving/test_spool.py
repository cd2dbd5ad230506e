"""The folder that receivers write to: names, whole files, folders that are taken away meanwhile."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.header_values import HeaderElements
from medsiglip.ingest.receiving import spool as module
from medsiglip.ingest.receiving.places import Places
from medsiglip.ingest.receiving.spool import (
    ARRIVING,
    Announced,
    BadDataSetError,
    Spool,
    SpoolFullError,
    instance_prefix,
    spooled,
    study_folder,
    study_uid,
)
from tests.ingest.receiving.receivers import data_set_of
from tests.ingest.receiving.slices import CT, SYNTAX, ct, encoded


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "incoming", 1_000_000, 0)
    made.prepare()
    return made


def announced(uid: str) -> Announced:
    return Announced(CT, uid, SYNTAX, "CT1", "MEDSIGLIP")


def test_fragments_make_a_file(spool: Spool) -> None:
    slice_ = ct()
    data = encoded(slice_)
    arriving = spool.begin(announced(slice_.SOPInstanceUID))
    for start in range(0, len(data), 7):
        arriving.write(memoryview(data)[start : start + 7])
    file = arriving.finish()
    assert data_set_of(file) == data
    assert file.parent == spool.folder / study_folder(slice_.StudyInstanceUID)
    assert file.name.startswith(instance_prefix(slice_.SOPInstanceUID))
    assert len(file.stem) == len(file.parent.name) == 32
    assert not list((spool.folder / ARRIVING).iterdir())


def test_a_folder_that_is_taken_away_is_made_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    slice_ = ct()
    taken = spool.folder.parent / "taken"
    rename, first = Path.rename, [True]

    def rename_after_hand_over(self: Path, target: Path) -> Path:
        if first.pop() if first else False:
            rename(target.parent, taken)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_after_hand_over)
    arriving = spool.begin(announced(slice_.SOPInstanceUID))
    arriving.write(memoryview(encoded(slice_)))
    file = arriving.finish()
    assert file.is_file()
    assert list(taken.iterdir()) == []


def test_a_file_that_is_taken_away_before_it_is_synced_is_synced_where_it_is(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_, synced = ct(), []
    taken = spool.folder.parent / "taken"
    rename = Path.rename

    def rename_and_hand_over(self: Path, target: Path) -> Path:
        made = rename(self, target)
        if target.parent.parent == spool.folder:
            rename(target.parent, taken)
        return made

    monkeypatch.setattr(Path, "rename", rename_and_hand_over)
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    arriving = spool.begin(announced(slice_.SOPInstanceUID))
    arriving.write(memoryview(encoded(slice_)))
    file = arriving.finish()
    assert synced == [True]
    assert [one.name for one in taken.iterdir()] == [file.name]


def test_file_and_folders_are_synced_before_the_file_is_told_of(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_, synced = ct(), []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    arriving = spool.begin(announced(slice_.SOPInstanceUID))
    arriving.write(memoryview(encoded(slice_)))
    file = arriving.finish()
    assert [one.suffix for one in synced] == [".part", "", ""]
    assert synced[1:] == [file.parent, spool.folder]


def test_what_killed_receivers_left_is_removed_and_what_others_write_stays(spool: Spool) -> None:
    left = spool.folder / ARRIVING / "left.part"
    left.write_bytes(b"half")
    arriving = spool.begin(announced("1.2.3"))
    Spool(spool.folder, 1, 0).prepare()
    assert not left.exists()
    [living] = (spool.folder / ARRIVING).iterdir()
    arriving.discard()
    arriving.discard()
    assert not living.exists()


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, first = fcntl.flock, [True]

    def sweep_then_lock(descriptor: int, operation: int) -> None:
        if first and first.pop():
            Spool(spool.folder, 1, 0).prepare()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_then_lock)
    slice_ = ct()
    arriving = spool.begin(announced(slice_.SOPInstanceUID))
    arriving.write(memoryview(encoded(slice_)))
    assert data_set_of(arriving.finish()) == encoded(slice_)


@pytest.mark.parametrize("data", [b"", b"text", encoded(ct())[:90]], ids=["empty", "text", "cut"])
def test_what_cannot_be_filed_is_removed(spool: Spool, data: bytes) -> None:
    arriving = spool.begin(announced("1.2.3"))
    arriving.write(memoryview(data))
    with pytest.raises(BadDataSetError):
        arriving.finish()
    assert [one.name for one in spool.folder.iterdir()] == [ARRIVING]
    assert not list((spool.folder / ARRIVING).iterdir())


def test_a_large_file_ends_when_the_disk_runs_low(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_DISK_EVERY", 1000)
    arriving = spool.begin(announced("1.2.3"))
    monkeypatch.setattr(Spool, "check_room", lambda self: (_ for _ in ()).throw(SpoolFullError))
    arriving.write(memoryview(bytes(900)))
    with pytest.raises(SpoolFullError):
        arriving.write(memoryview(bytes(900)))
    arriving.discard()


def test_instances_are_found_by_the_names_of_their_files(spool: Spool, tmp_path: Path) -> None:
    slices = [ct() for _ in range(3)]
    for slice_ in slices:
        arriving = spool.begin(announced(slice_.SOPInstanceUID))
        arriving.write(memoryview(encoded(slice_)))
        arriving.finish()
    uids = [one.SOPInstanceUID for one in slices]
    assert spooled([spool.folder, tmp_path / "missing"], [*uids[:2], "1.2.3"]) == set(uids[:2])
    assert spooled([], uids) == set()


def test_places_end_with_their_holders(tmp_path: Path) -> None:
    places = Places(tmp_path, 3, 2)
    places.prepare()
    one, two = places.take("A"), places.take("A")
    assert one is not None
    assert two is not None
    assert places.take("A") is None
    three = places.take("B")
    assert three is not None
    assert (places.take("C"), places.count()) == (None, 3)
    os.close(two)
    four = places.take("A")
    assert four is not None
    assert Places(tmp_path, 3, 2).count() == 3
    for descriptor in (one, three, four):
        os.close(descriptor)
    assert places.count() == 0


def test_pydicom_reads_one_file_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps it quiet is of the whole process, and its memory many times that of the file."""
    busy, both = threading.Lock(), threading.Barrier(2)

    def alone(path: str) -> HeaderElements:
        assert busy.acquire(blocking=False)
        try:
            time.sleep(0.05)
            return read_elements(path)
        finally:
            busy.release()

    def study(number: int) -> str:
        both.wait(10)
        return study_uid(files[number])

    monkeypatch.setattr(module, "read_elements", alone)
    files = [tmp_path / "1.dcm", tmp_path / "2.dcm"]
    for file in files:
        # Elements that are not in order are none for the fast reader.
        unordered = b"\x20\0\x0d\0UI\x04\0" + b"1.2\0" + b"\x08\0\x60\0CS\x02\0CT"
        file.write_bytes(unordered)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(study, range(2))) == ["1.2", "1.2"]
