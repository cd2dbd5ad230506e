"""Archives within archives are read in place, within bounds."""

from __future__ import annotations

import gzip
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files import archive_listing
from medsiglip.ingest.files import walk as walk_module
from medsiglip.ingest.files.source import archive_at, open_source, source_status
from tests.ingest.files.archive_cases import KINDS, codes, content, count_inflated, names, pack, packed


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
    inflated = count_inflated(monkeypatch)
    for name in names(path):
        with open_source(f"{path}!/{name}") as file:
            assert len(file.read()) == 200_000
    # Listing is one pass; each member is a landmark's distance of detour and itself.
    assert sum(inflated) < 8_000_000 * 2 + 40 * (2 << 20)


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
    monkeypatch.setattr(archive_listing, "FREE_BYTES", 50_000_000)
    monkeypatch.setattr(archive_listing, "RATIO", 1000)
    assert codes(path) == {"x.zip": "archive-too-large"}
    monkeypatch.setattr(archive_listing, "FREE_BYTES", 1 << 30)
    monkeypatch.setattr(walk_module, "MAX_MEMBERS", 1000)
    assert codes(path) == {"x.zip": "archive-too-large"}
    assert len(names(path)) < 1000


def test_a_name_of_a_member_cannot_pass_for_a_path_into_another(tmp_path: Path) -> None:
    inner = packed("zip", {"a": b"inside"}, tmp_path)
    path = pack(tmp_path / "x.zip", {"in.zip": inner, "in.zip!/a": b"pretender", "b!": b"2"})
    assert names(path) == ["in.zip!/a", "in.zip_/a", "b!"]
    with open_source(f"{path}!/in.zip!/a") as file:
        assert file.read() == b"inside"


def test_an_archive_that_is_no_longer_held_keeps_no_file_open(tmp_path: Path) -> None:
    outer = pack(tmp_path / "x.tgz", {"in.tar.gz": packed("tar.gz", {"a": content(1)}, tmp_path)})
    with open_source(f"{outer}!/in.tar.gz!/a") as file:
        file.read(10)
    # The traceback of an error refers to its archive for as long as the error is kept.
    held = archive_at(f"{outer}!/in.tar.gz"), archive_at(str(outer))
    assert str(outer) in open_files()
    for number in range(9):
        names(pack(tmp_path / f"{number}.zip", {"a": b"a"}))
    assert str(outer) not in open_files()
    with held[0].open("a") as file:
        assert file.read() == content(1)
    assert str(outer) not in open_files()


def test_an_inner_archive_may_be_freed_while_its_outer_archive_is_at_work(tmp_path: Path) -> None:
    """As the garbage collector does, in the thread that runs."""
    path = pack(tmp_path / "x.tgz", {"in.tar.gz": packed("tar.gz", {"a": content(1)}, tmp_path)})
    with open_source(f"{path}!/in.tar.gz!/a") as file:
        file.read(10)
    outer, inner = archive_at(str(path)), archive_at(f"{path}!/in.tar.gz")

    def free() -> None:
        with outer._lock:
            inner.retire()

    thread = threading.Thread(target=free, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    return {os.readlink(link) for link in folder.iterdir() if link.is_symlink()}
