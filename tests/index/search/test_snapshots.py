from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.search.snapshots import Snapshot
from tests.index.index_cases import unit_vectors


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return Snapshot(tmp_path, "space", DEFAULT)


@pytest.fixture
def saved(snapshot: Snapshot) -> VectorSearch:
    index = DEFAULT.new(8)
    index.add(np.array([9, 3, 5]), unit_vectors(3, 0, 8))
    snapshot.save(index, 8, ["b", "a"])
    return index


def test_a_snapshot_is_the_same_index_and_can_be_changed(saved: VectorSearch, snapshot: Snapshot) -> None:
    loaded = snapshot.load(8)
    assert loaded is not None
    assert loaded.ids.tolist() == [9, 3, 5]
    assert np.array_equal(loaded.rows(loaded.ids), saved.rows(saved.ids))
    assert snapshot.shards() == {"a", "b"}
    loaded.remove(np.array([3]))
    loaded.add(np.array([7]), unit_vectors(1, 4, 8))
    snapshot.save(loaded, 8, ["c"])
    again = snapshot.load(8)
    assert again is not None
    assert again.ids.tolist() == [9, 5, 7]
    assert again.search(unit_vectors(1, 4, 8), 1)[1].tolist() == [[7]]


@pytest.mark.parametrize(
    "damage", ["absent", "truncated", "garbage", "format", "dimension", "no list", "bad list"]
)
def test_a_snapshot_that_cannot_be_used_is_none(
    saved: VectorSearch, snapshot: Snapshot, tmp_path: Path, damage: str
) -> None:
    vectors, description = tmp_path / "faiss" / "space.vectors", tmp_path / "faiss" / "space.json"
    content = vectors.read_bytes()
    described = json.loads(description.read_bytes())
    match damage:
        case "absent":
            vectors.unlink()
        case "truncated":
            vectors.write_bytes(content[:-5])
        case "garbage":
            vectors.write_bytes(bytes(len(content)))
        case "format":
            description.write_text(json.dumps(described | {"format": described["format"] + 1}))
        case "no list":
            description.unlink()
        case "bad list":
            description.write_text("[")
    assert snapshot.load(16 if damage == "dimension" else 8) is None


def test_a_discarded_snapshot_is_gone(saved: VectorSearch, snapshot: Snapshot, tmp_path: Path) -> None:
    snapshot.discard()
    snapshot.discard()
    assert list((tmp_path / "faiss").iterdir()) == []


def test_a_snapshot_of_an_earlier_format_is_replaced(snapshot: Snapshot, tmp_path: Path) -> None:
    former = tmp_path / "faiss" / "space.faiss"
    former.parent.mkdir()
    former.write_bytes(b"IxMp")
    (tmp_path / "faiss" / "space.json").write_text('{"format": 1, "dimension": 8, "bytes": 4, "shards": []}')
    assert snapshot.load(8) is None
    snapshot.save(DEFAULT.new(8), 8, [])
    assert not former.exists()
