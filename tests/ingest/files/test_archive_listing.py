"""Archives that are damaged, encrypted or far too large are listed without harm, and each costs one line."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.files import archive_listing
from medsiglip.ingest.files.archive import open_archive
from medsiglip.ingest.files.archive_listing import harmless
from medsiglip.ingest.files.inflate import DamagedStreamError
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.files.walk import walk
from medsiglip.ingest.reasons import Rejected
from tests.ingest.files.archive_cases import KINDS, codes, content, names, pack


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


def test_archives_that_are_not_read_in_place_are_not_passed_over(tmp_path: Path) -> None:
    for name in ("a.7z", "b.rar", "c.tar.xz", "d.tar.bz2"):
        (tmp_path / name).write_bytes(b"x")
    found = list(walk([tmp_path]))
    assert [one.code for one in found if isinstance(one, Rejected)] == ["unsupported-archive"] * 4
    assert len(found) == 4


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


def test_a_name_that_is_not_utf_8_stands_in_its_bytes_whatever_an_extra_field_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.12 on zipfile takes a name from the extra field of Info-ZIP (APPNOTE 4.6.9)."""
    path = pack(tmp_path / "x.zip", {"caf\u00e9": b"1", "b": b"2"})
    path.write_bytes(path.read_bytes().replace("caf\u00e9".encode(), b"caf\xe9\0"))
    monkeypatch.setattr(
        zipfile.ZipInfo, "_decodeExtra", lambda info: setattr(info, "filename", "\u65e5\u672c")
    )
    assert names(path) == ["caf\udce9", "\u65e5\u672c"]
    assert open_archive(str(path)).open("caf\udce9").read() == b"1"


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
    monkeypatch.setattr(archive_listing, "FREE_BYTES", 1 << 20)
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


def test_a_member_that_would_begin_before_the_archive_is_damaged(tmp_path: Path) -> None:
    """The directory of a zip may lie about where it begins; offsets count from there."""
    path = pack(tmp_path / "x.zip", {"a": content(1), "b": content(2)})
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\5\6") + 16
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "little") + 900).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert codes(path) == {"x.zip!/a": "damaged-archive"}
