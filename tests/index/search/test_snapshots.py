from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from medsiglip.index.records import Level
from medsiglip.index.search import snapshots
from medsiglip.index.search.group_level import GroupLevel, Members
from medsiglip.index.search.image_owners import ImageOwners
from medsiglip.index.search.kinds.index_kinds import DEFAULT, LEVEL_KIND, IndexKind
from medsiglip.index.search.snapshots import FORMAT, Snapshot, SnapshotContent
from tests.index.index_cases import unit_vectors

LEVELS: tuple[Level, Level] = ("series", "study")
PARTS = ("vectors", "series", "study", "owners")


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return Snapshot(tmp_path, "space", DEFAULT)


def content(seed: int = 0, shards: tuple[str, ...] = ("b", "a")) -> SnapshotContent:
    """Four images of three series and two studies."""
    index = DEFAULT.new(8)
    index.add(np.array([9, 3, 5, 4]), unit_vectors(4, seed, 8))
    owners = ImageOwners(np.array([0, 1, 1, 0]), np.array([7, 2, 2, 1]), np.array([6, 6, 6, 8]))
    levels: dict[Level, GroupLevel] = {}
    for level in LEVELS:
        groups = owners.level(level)
        empty = GroupLevel(LEVEL_KIND.new(8)).changed(groups)
        levels[level] = empty.renewed(index, index.ids, Members(index.ids, groups))
    return SnapshotContent(index, owners, shards, levels)


def same(one: SnapshotContent, other: SnapshotContent) -> bool:
    pairs = [(one.index, other.index), *((one.levels[k].index, other.levels[k].index) for k in one.levels)]
    held = all(
        np.array_equal(a.ids, b.ids) and np.array_equal(a.rows(a.ids), b.rows(b.ids)) for a, b in pairs
    )
    arrays = zip(
        (*one.owners, *(s for k in one.levels for s in one.levels[k].spread)),
        (*other.owners, *(s for k in other.levels for s in other.levels[k].spread)),
        strict=True,
    )
    return held and one.shards == other.shards and all(np.array_equal(a, b) for a, b in arrays)


def test_a_snapshot_holds_images_owners_and_means_and_can_be_changed(snapshot: Snapshot) -> None:
    saved = content()
    snapshot.save(saved, 8)
    held = snapshot.load(8)
    assert held is not None
    assert same(held, saved)
    assert snapshot.shards() == {"a", "b"}
    assert held.levels["study"].index.ids.tolist() == [6, 8]
    assert not len(held.levels["study"].stale)
    held.index.remove(np.array([3]))
    held.index.add(np.array([70]), unit_vectors(1, 4, 8))
    assert held.index.search(unit_vectors(1, 4, 8), 1)[1].tolist() == [[70]]
    again = snapshot.load(8)
    assert again is not None
    assert same(again, saved)


def test_an_empty_snapshot_is_read_back(snapshot: Snapshot) -> None:
    levels: dict[Level, GroupLevel] = {level: GroupLevel(LEVEL_KIND.new(8)) for level in LEVELS}
    empty = SnapshotContent(DEFAULT.new(8), ImageOwners(), (), levels)
    snapshot.save(empty, 8)
    held = snapshot.load(8)
    assert held is not None
    assert same(held, empty)


@pytest.mark.parametrize("damage", ["format", "dimension", "no list", "bad list", "no files", "shards"])
def test_a_snapshot_whose_description_cannot_be_used_is_none(
    snapshot: Snapshot, tmp_path: Path, damage: str
) -> None:
    snapshot.save(content(), 8)
    description = tmp_path / "faiss" / "space.json"
    described = json.loads(description.read_bytes())
    match damage:
        case "format":
            description.write_text(json.dumps(described | {"format": FORMAT + 1}))
        case "no list":
            description.unlink()
        case "bad list":
            description.write_text("[")
        case "no files":
            description.write_text(json.dumps(described | {"files": 3}))
        case "shards":
            description.write_text(json.dumps(described | {"shards": ["a"]}))
    assert snapshot.load(16 if damage == "dimension" else 8) is None


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["absent", "truncated", "garbage", "of another"])
def test_a_snapshot_with_a_damaged_file_is_none(
    snapshot: Snapshot, tmp_path: Path, part: str, damage: str
) -> None:
    snapshot.save(content(), 8)
    [file] = (tmp_path / "faiss").glob(f"space.*.{part}")
    whole = file.read_bytes()
    match damage:
        case "absent":
            file.unlink()
        case "truncated":
            file.write_bytes(whole[:-5])
        case "garbage":
            file.write_bytes(bytes(len(whole)))
        case "of another":
            other = {"series": "study", "study": "vectors", "owners": "series", "vectors": "owners"}[part]
            [replacement] = (tmp_path / "faiss").glob(f"space.*.{other}")
            file.write_bytes(replacement.read_bytes())
    assert snapshot.load(8) is None


def test_a_discarded_snapshot_is_gone(snapshot: Snapshot, tmp_path: Path) -> None:
    snapshot.save(content(), 8)
    other = Snapshot(tmp_path, "space-2", DEFAULT)
    other.save(content(), 8)
    snapshot.discard()
    snapshot.discard()
    assert snapshot.load(8) is None
    assert all(path.name.startswith("space-2.") for path in (tmp_path / "faiss").iterdir())
    assert other.load(8) is not None


@pytest.mark.parametrize("step", range(5))
def test_a_snapshot_that_cannot_be_written_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """As after a kill, at each of the files and at the description."""
    calls: list[int] = []

    def counted(kind: IndexKind) -> IndexKind:
        def write(index: object, stream: BinaryIO) -> None:
            calls.append(1)
            if len(calls) == 4 + step:
                raise KeyboardInterrupt
            kind.write(index, stream)

        return replace(kind, write=write)

    monkeypatch.setattr(snapshots, "LEVEL_KIND", counted(LEVEL_KIND))
    snapshot = Snapshot(tmp_path, "space", counted(DEFAULT))
    former = content()
    snapshot.save(former, 8)
    files = sorted(path.name for path in (tmp_path / "faiss").iterdir())
    if step >= 3:
        name = ("dumps", "_write_owners")[step - 3]
        target = "json.dumps" if step == 3 else "medsiglip.index.search.snapshots._write_owners"
        monkeypatch.setattr(target, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt(name)))
    with pytest.raises(KeyboardInterrupt):
        snapshot.save(content(1, ("c", "d")), 8)
    monkeypatch.undo()
    held = snapshot.load(8)
    assert held is not None
    assert same(held, former)
    assert sorted(path.name for path in (tmp_path / "faiss").iterdir()) == files


def test_a_new_snapshot_replaces_the_former_and_what_killed_processes_left(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    snapshot.save(content(), 8)
    old = tmp_path / "faiss" / "space.0123.vectors.tmp"
    young = tmp_path / "faiss" / "space.4567.study"
    for path in (old, young):
        path.write_bytes(b"left")
    os.utime(old, (time.time() - 7200,) * 2)
    snapshot.save(content(1, ("c", "d")), 8)
    held = snapshot.load(8)
    assert held is not None
    assert same(held, content(1, ("c", "d")))
    names = {path.name for path in (tmp_path / "faiss").iterdir()}
    assert young.name in names  # another process may be writing it
    assert len(names) == len(PARTS) + 2


@pytest.mark.parametrize(
    "files", [{"vectors": "ab"}, {"vectors": []}, {"vectors": [5, 5]}, {"vectors": ["../catalog.db", 5]}]
)
def test_what_a_damaged_description_names_does_not_keep_a_new_one_from_being_written(
    snapshot: Snapshot, tmp_path: Path, files: dict[str, object]
) -> None:
    (tmp_path / "catalog.db").write_bytes(b"rows!")
    snapshot.save(content(), 8)
    description = tmp_path / "faiss" / "space.json"
    described = json.loads(description.read_bytes())
    description.write_text(json.dumps(described | {"files": files}))
    assert snapshot.load(8) is None
    snapshot.save(content(1, ("c", "d")), 8)
    held = snapshot.load(8)
    assert held is not None
    assert same(held, content(1, ("c", "d")))
    assert (tmp_path / "catalog.db").read_bytes() == b"rows!"


def test_of_two_that_write_at_once_one_snapshot_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Snapshot(tmp_path, "space", DEFAULT) for _ in range(2))
    one.save(content(), 8)
    write_owners = snapshots._write_owners

    def beside(*given: Any) -> None:
        write_owners(*given)
        monkeypatch.undo()
        other.save(content(1, ("c", "d")), 8)

    monkeypatch.setattr(snapshots, "_write_owners", beside)
    one.save(content(2, ("e", "f")), 8)
    held = one.load(8)
    assert held is not None
    assert same(held, content(2, ("e", "f")))
    assert len(list((tmp_path / "faiss").iterdir())) == len(PARTS) + 1


def test_a_snapshot_that_is_replaced_while_it_is_read_is_read_anew(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot.save(content(), 8)
    read = Snapshot._read

    def slowly(held: Snapshot, *given: Any) -> SnapshotContent | None:
        monkeypatch.undo()
        held.save(content(1, ("c", "d")), 8)
        return read(held, *given)

    monkeypatch.setattr(Snapshot, "_read", slowly)
    found = snapshot.load(8)
    assert found is not None
    assert same(found, content(1, ("c", "d")))


def test_a_snapshot_of_an_earlier_format_is_replaced(snapshot: Snapshot, tmp_path: Path) -> None:
    former = [tmp_path / "faiss" / name for name in ("space.faiss", "space.vectors")]
    former[0].parent.mkdir()
    for path in former:
        path.write_bytes(b"IxMp")
    (tmp_path / "faiss" / "space.json").write_text('{"format": 2, "dimension": 8, "bytes": 4, "shards": []}')
    assert snapshot.load(8) is None
    snapshot.save(content(), 8)
    assert not any(path.exists() for path in former)
    assert snapshot.load(8) is not None
