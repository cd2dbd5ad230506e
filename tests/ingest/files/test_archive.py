"""Archives are read in place: the content of every member equals that of the file that was packed."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files import archive as archives
from medsiglip.ingest.files import archive_listing
from medsiglip.ingest.files import walk as walk_module
from medsiglip.ingest.files.archive import harmless, open_archive
from medsiglip.ingest.files.inflate import GZIP, DamagedStreamError, InflatedFile
from medsiglip.ingest.files.source import open_source, source_status
from medsiglip.ingest.files.walk import FoundFile, walk

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
KINDS = ("zip", "stored.zip", "tar", "tar.gz", "tgz")


def content(number: int, size: int = 5000) -> bytes:
    return random.Random(number).randbytes(size // 2) + bytes(size // 2)


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as packed:
            for name, data in members.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as packed:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


def codes(path: Any) -> dict[str, str]:
    """What is rejected, by the part of the path behind the folder."""
    rejected = [found for found in walk([path]) if not isinstance(found, FoundFile)]
    return {os.path.relpath(found.path, Path(path).parent): found.code for found in rejected}


def names(path: Any) -> list[str]:
    found = (found.path for found in walk([path]) if isinstance(found, FoundFile))
    return [name.partition("!/")[2] for name in found]


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_files_of_the_run_with_the_content_that_was_packed(tmp_path: Path, kind: Any) -> None:
    members = {f"study/{n}.dcm": content(n) for n in range(5)}
    path = pack(tmp_path / f"export.{kind}", members)
    found = list(walk([tmp_path]))
    mtime = path.stat().st_mtime_ns
    assert found == [FoundFile(f"{path}!/{name}", 5000, mtime) for name in members]
    for name, data in members.items():
        with open_source(f"{path}!/{name}") as file:
            assert file.read() == data
        assert source_status(f"{path}!/{name}") == (5000, mtime)


@pytest.mark.parametrize("kind", KINDS)
def test_members_can_be_sought_in_like_files(tmp_path: Path, kind: Any) -> None:
    data = content(1, 300_000)
    path = pack(tmp_path / f"x.{kind}", {"before": content(2), "x": data, "after": content(3)})
    rng, plain = random.Random(0), io.BytesIO(data)
    with open_source(f"{path}!/x") as file:
        for _ in range(40):
            place, size = rng.randrange(310_000), rng.randrange(70_000)
            assert file.seek(place) == plain.seek(place)
            assert file.read(size) == plain.read(size)
        assert file.seek(0, os.SEEK_END) == len(data)


def test_the_gzip_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm.gz"
    path.write_bytes(gzip.compress(content(1)) + gzip.compress(b"and more"))
    assert names(path) == ["scan.dcm"]
    with open_source(f"{path}!/scan.dcm") as file:
        assert file.read() == gzip.decompress(path.read_bytes())


def test_a_packed_volume_is_left_to_the_reader_of_volumes(tmp_path: Path) -> None:
    (tmp_path / "brain.nii.gz").write_bytes(gzip.compress(b"x"))
    assert [found.path for found in walk([tmp_path])] == [str(tmp_path / "brain.nii.gz")]


def test_dicom_under_the_name_of_an_archive_is_dicom(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x.zip", PIXELS)
    assert [found.path for found in walk([path])] == [str(path)]


def test_seeking_in_a_gzip_takes_up_at_landmarks() -> None:
    """Whatever the order of the reads, no more is unpacked than one pass and a landmark's distance each."""
    data = random.Random(5).randbytes(6 << 20)
    packed = io.BytesIO(gzip.compress(data, 1))
    unpacked = 0

    class Counting(InflatedFile):
        def _produce(self, size: Any) -> Any:
            nonlocal unpacked
            part = super()._produce(size)
            unpacked += len(part)
            return part

    reader = Counting(packed, 0, GZIP)
    places = random.Random(6).sample(range(len(data) - 100), 40)
    for place in places:
        reader.seek(place)
        assert reader.read(10) == data[place : place + 10]
    assert unpacked < len(data) + 40 * (2 << 20)


def test_members_of_a_solid_archive_in_its_order_are_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "x.tar.gz", {str(n): content(n, 200_000) for n in range(20)})
    open_archive(str(path))
    produced = 0
    produce = InflatedFile._produce

    def counted(self, size: Any) -> Any:
        nonlocal produced
        part = produce(self, size)
        produced += len(part)
        return part

    monkeypatch.setattr(InflatedFile, "_produce", counted)
    for name in names(path):
        with open_source(f"{path}!/{name}") as file:
            assert len(file.read()) == 200_000
    assert produced < 1.1 * 20 * 200_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("a/./b/../c", "a/b/c"),
        ("..\\..\\win.ini", "win.ini"),
        ("line\nbreak\x1b[31m", "line_break_[31m"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("..", "unnamed"),
        ("nul\0byte", "nul_byte"),
        ("a.zip!/b", "a.zip_/b"),
        ("x" * 5000 + ".dcm", "x" * 996 + ".dcm"),
    ],
)
def test_names_of_members_are_harmless(name: Any, expected: Any) -> None:
    assert harmless(name) == expected


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_that_clash_are_both_kept(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in (("a", b"1"), ("../a", b"2"), ("a", b"3")):
                packed.writestr(name, data)
    else:
        with tarfile.open(path, "w") as packed:
            for name, data in (("a", b"1"), ("../a", b"2"), ("a", b"3")):
                info = tarfile.TarInfo(name)
                info.size = 1
                packed.addfile(info, io.BytesIO(data))
    assert names(path) == ["a", "a#2", "a#3"]
    assert [open_archive(str(path)).open(name).read() for name in names(path)] == [b"1", b"2", b"3"]


def test_links_devices_and_folders_in_a_tar_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as packed:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"odd-{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
        packed.addfile(tarfile.TarInfo("file"))
    assert names(path) == ["file"]
    assert codes(path) == {}


def test_links_in_a_zip_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("file", b"x")
    assert names(path) == ["file"]


def packed(kind: str, members: dict[str, bytes], folder: Path) -> bytes:
    """The bytes of an archive."""
    path = pack(folder / f"inner.{kind}", members)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


@pytest.mark.parametrize("inner", ["zip", "stored.zip", "tar", "tar.gz"])
@pytest.mark.parametrize("outer", KINDS)
def test_archives_within_archives_are_read_in_place(tmp_path: Path, outer: Any, inner: Any) -> None:
    members = {f"{n}.dcm": content(n, 300_000) for n in range(4)}
    held = packed(inner, members, tmp_path)
    path = pack(tmp_path / f"x.{outer}", {"a": b"before", f"deep/in.{inner}": held, "z": b"after"})
    inside = [f"deep/in.{inner}!/{name}" for name in members]
    assert names(path) == ["a", *inside, "z"]
    assert codes(path) == {}
    mtime = path.stat().st_mtime_ns
    for name, data in reversed(members.items()):
        with open_source(f"{path}!/deep/in.{inner}!/{name}") as file:
            assert file.read() == data
        assert source_status(f"{path}!/deep/in.{inner}!/{name}") == (300_000, mtime)
    assert names(f"{path}!/deep/in.{inner}!/2.dcm") == [f"deep/in.{inner}!/2.dcm"]
    assert names(f"{path}!/deep/in.{inner}") == inside
    with pytest.raises(IngestError) as caught:
        names(f"{path}!/deep/in.{inner}!/9.dcm")
    assert caught.value.code == "no-such-path"


def test_gzipped_files_in_an_archive_are_files(tmp_path: Path) -> None:
    members = {f"{n}.dcm.gz": gzip.compress(content(n)) for n in range(3)} | {"brain.nii.gz": b"volume"}
    path = pack(tmp_path / "x.tar", members)
    assert names(path) == [*(f"{n}.dcm.gz!/{n}.dcm" for n in range(3)), "brain.nii.gz"]
    with open_source(f"{path}!/1.dcm.gz!/1.dcm") as file:
        assert file.read() == content(1)


def test_an_inner_archive_is_unpacked_once_and_not_for_each_of_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = packed("stored.zip", {str(n): random.Random(n).randbytes(200_000) for n in range(40)}, tmp_path)
    path = pack(tmp_path / "x.zip", {"in.zip": held})
    produced = 0
    produce = InflatedFile._produce

    def counted(self, size: Any) -> Any:
        nonlocal produced
        part = produce(self, size)
        produced += len(part)
        return part

    monkeypatch.setattr(InflatedFile, "_produce", counted)
    for name in names(path):
        with open_source(f"{path}!/{name}") as file:
            assert len(file.read()) == 200_000
    # Listing is one pass; each member is a landmark's distance of detour and itself.
    assert produced < 8_000_000 * 2 + 40 * (2 << 20)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_what_is_not_read_within_an_archive_is_one_line_each(tmp_path: Path, kind: Any) -> None:
    damaged = packed("tar.gz", {"a": content(1)}, tmp_path)[:30]
    members = {"bad.zip": b"PK", "cut.tgz": damaged, "deep/inner.7z": b"x", "empty.tar": b"", "x.dcm": b"x"}
    path = pack(tmp_path / f"x.{kind}", members)
    assert names(path) == ["x.dcm"]
    assert codes(path) == {
        f"x.{kind}!/bad.zip": "damaged-archive",
        f"x.{kind}!/cut.tgz": "damaged-archive",
        f"x.{kind}!/deep/inner.7z": "nested-archive",
        f"x.{kind}!/empty.tar": "empty-file",
    }


def test_a_locked_or_damaged_inner_archive_costs_one_line(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"locked.zip": packed("zip", {"a": b"1"}, tmp_path), "b.dcm": b"open"})
    data = bytearray(path.read_bytes())
    for name, flags in ((30, 6), (46, 8)):
        place = data.find(b"locked.zip") if name == 30 else data.rfind(b"locked.zip")
        data[place - name + flags] |= 1
    path.write_bytes(data)
    assert (names(path), codes(path)) == (["b.dcm"], {"x.zip!/locked.zip": "encrypted-member"})
    other = pack(tmp_path / "y.zip", {"in.zip": packed("stored.zip", {"a": content(3)}, tmp_path)})
    data = bytearray(other.read_bytes())
    data[60] ^= 0xFF
    other.write_bytes(data)
    assert (names(other), codes(other)) == ([], {"y.zip!/in.zip": "damaged-archive"})


def test_archives_nested_without_end_are_not_followed(tmp_path: Path) -> None:
    """An archive that holds itself looks like a chain of any length; this one is a hundred deep."""
    held = packed("zip", {"end.dcm": b"x"}, tmp_path)
    for _ in range(100):
        held = packed("zip", {"in.zip": held, "file": b"1"}, tmp_path)
    (tmp_path / "x.zip").write_bytes(held)
    assert names(tmp_path / "x.zip") == ["in.zip!/in.zip!/file", "in.zip!/file", "file"]
    assert codes(tmp_path / "x.zip") == {"x.zip!/in.zip!/in.zip!/in.zip": "nested-archive"}


def test_what_all_levels_hold_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each archive by itself is harmless: sixteen of sixteen, as a well-known bomb has it."""
    leaf = packed("zip", {str(n): bytes(100_000) for n in range(16)}, tmp_path)
    middle = packed("zip", {f"{n}.zip": leaf for n in range(16)}, tmp_path)
    path = pack(tmp_path / "x.zip", {f"{n}.zip": middle for n in range(16)})
    assert len(names(path)) == 16**3
    monkeypatch.setattr(archives, "FREE_BYTES", 50_000_000)
    monkeypatch.setattr(archives, "RATIO", 1000)
    assert codes(path) == {"x.zip": "archive-too-large"}
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 30)
    monkeypatch.setattr(walk_module, "MAX_MEMBERS", 1000)
    assert codes(path) == {"x.zip": "archive-too-large"}
    assert len(names(path)) < 1000


def test_a_name_of_a_member_cannot_pass_for_a_path_into_another(tmp_path: Path) -> None:
    inner = packed("zip", {"a": b"inside"}, tmp_path)
    path = pack(tmp_path / "x.zip", {"in.zip": inner, "in.zip!/a": b"pretender", "b!": b"2"})
    assert names(path) == ["in.zip!/a", "in.zip_/a", "b!"]
    with open_source(f"{path}!/in.zip!/a") as file:
        assert file.read() == b"inside"


def test_archives_that_are_not_read_in_place_are_not_passed_over(tmp_path: Path) -> None:
    for name in ("a.7z", "b.rar", "c.tar.xz", "d.tar.bz2"):
        (tmp_path / name).write_bytes(b"x")
    assert [found.code for found in walk([tmp_path])] == ["unsupported-archive"] * 4


def test_encrypted_members_are_one_line_each(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a.dcm": b"secret", "b.dcm": b"open"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert names(path) == ["b.dcm"]
    assert codes(path) == {"x.zip!/a.dcm": "encrypted-member"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_ends_early_gives_what_is_whole_and_one_line(tmp_path: Path, kind: Any) -> None:
    path = pack(tmp_path / f"x.{kind}", {f"{n}.dcm": content(n) for n in range(9)})
    whole = names(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert codes(path) == {f"x.{kind}": "damaged-archive"}
    found = names(path)
    assert found == whole[: len(found)]
    assert len(found) == 0 if "zip" in kind else 2 < len(found) < 9


def test_a_damaged_header_in_the_middle_of_a_tar_is_noticed(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {f"{n}": content(n) for n in range(5)})
    data = bytearray(path.read_bytes())
    data[2 * (512 + 5120) + 100] ^= 0xFF
    path.write_bytes(data)
    assert names(path) == ["0", "1"]
    assert codes(path) == {"x.tar": "damaged-archive"}


@pytest.mark.parametrize("kind", ["zip", "stored.zip"])
def test_a_check_sum_that_is_another_is_noticed(tmp_path: Path, kind: Any) -> None:
    path = pack(tmp_path / f"x.{kind}", {"a": content(1)})
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    with open_source(f"{path}!/a") as file, pytest.raises(DamagedStreamError):
        file.read()


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.gz", "x.tar"])
def test_what_is_no_archive_is_one_line(tmp_path: Path, name: Any) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b no archive" * 100)
    assert codes(tmp_path / name) == {name: "damaged-archive"}
    (tmp_path / name).write_bytes(b"")
    assert codes(tmp_path / name) == {name: "empty-file"}


def zip_bomb(path: Path, copies: int, size: int) -> Path:
    """Directory entries that all lead to the same packed zeros (Fifield, WOOT 2019, in its simplest form)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(1 << 20)) + packer.flush()
    numbers = (20, 0, 8, 0, 0, 0, len(packed), size, 1, 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", *numbers) + b"a" + packed
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *numbers[:9], 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, copies, copies, copies * len(entry), len(local), 0)
    path.write_bytes(local + copies * entry + end)
    return path


def test_archives_that_unpack_to_far_too_much_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = zip_bomb(tmp_path / "x.zip", 60_000, 1 << 20)
    assert codes(path) == {"x.zip": "archive-too-large"}
    assert names(zip_bomb(tmp_path / "fine.zip", 3, 1 << 20)) == ["a", "a#2", "a#3"]


@pytest.mark.parametrize("kind", ["gz", "tar.gz"])
def test_a_gzip_that_unpacks_to_far_too_much_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    if kind == "gz":
        (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(66 << 20), 1))
    else:
        pack(tmp_path / "x.tar.gz", {"a": b"small", "b": bytes(8 << 20), "c": b"never reached"})
    assert codes(tmp_path / f"x.{kind}") == {f"x.{kind}": "archive-too-large"}


def test_a_tar_header_that_claims_gigabytes_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    with gzip.open(path, "wb") as packed:
        packed.write(header.tobuf())
        packed.write(bytes(4 << 20))
    assert codes(path) == {"x.tar.gz": "damaged-archive"}


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(archive_listing, "MAX_MEMBERS", 3)
    for kind in ("zip", "tar"):
        path = pack(tmp_path / f"x.{kind}", {str(n): b"" for n in range(5)})
        assert codes(path) == {f"x.{kind}": "archive-too-large"}


def test_a_member_can_be_named_by_itself(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a": b"1", "b": b"2"})
    assert names(f"{path}!/b") == ["b"]
    assert len(list(walk([f"{path}!/b", path]))) == 2
    with pytest.raises(IngestError) as caught:
        names(f"{path}!/c")
    assert caught.value.code == "no-such-path"


def test_a_folder_whose_name_looks_like_a_member_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a").write_bytes(b"1")
    pack(tmp_path / "x.zip", {"a": b"other"})
    with open_source(str(tmp_path / "x.zip!" / "a")) as file:
        assert file.read() == b"1"


def test_members_equal_what_other_programs_unpack(tmp_path: Path) -> None:
    """GNU tar writes long names and sparse files in ways of its own."""
    folder = tmp_path / "in" / ("long" * 30)
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{'x' * 120}{n}").write_bytes(content(n))
    for form in ("gnu", "posix", "ustar"):
        path = tmp_path / f"{form}.tar.gz"
        done = subprocess.run(
            ["tar", "-C", tmp_path / "in", f"--format={form}", "-czf", path, "."], capture_output=True
        )
        if done.returncode:
            continue
        assert sorted(names(path)) == [f"{'long' * 30}/{'x' * 120}{n}" for n in range(3)]
        for n, name in enumerate(sorted(names(path))):
            with open_source(f"{path}!/{name}") as file:
                assert file.read() == content(n)


def test_a_member_that_would_begin_before_the_archive_is_damaged(tmp_path: Path) -> None:
    """The directory of a zip may lie about where it begins; offsets count from there."""
    path = pack(tmp_path / "x.zip", {"a": content(1), "b": content(2)})
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\5\6") + 16
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "little") + 900).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert codes(path) == {"x.zip!/a": "damaged-archive"}
