"""What an ordinary check cannot see: bytes of shards that no vector is made of, and the snapshot on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import blake3
import pytest
from sqlalchemy import create_engine, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.search.kinds.index_kinds import KINDS
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors


def shard_files(home: Path) -> list[Path]:
    return sorted((home / "vectors" / SPACE.name).glob("*.parquet"))


def on_catalogue(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Two shards of two studies each, and a snapshot of them."""
    for first in (0, 2):
        index.add([make_bundle(first, 3), make_bundle(first + 1, 2)], unit_vectors(5, first))
    index.rebuild()
    return index


def test_every_shard_has_the_checksum_of_its_file(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    stored = on_catalogue(catalogue.url_in(home), "SELECT name, checksum FROM shards ORDER BY name")
    expected = [
        (path.stem, f"blake3:{blake3.blake3(path.read_bytes()).hexdigest()}") for path in shard_files(home)
    ]
    assert stored == expected
    checked = filled.verify(deep=True)
    assert checked.problems == ()
    assert (checked.checksums, checked.without_checksum, checked.snapshot) == (2, 0, 10)
    assert filled.verify().checksums is None


@pytest.mark.parametrize("place", ["gap", "metadata"])
def test_a_byte_that_no_vector_has_is_compared_too(filled: CaseIndex, home: Path, place: str) -> None:
    path = shard_files(home)[1]
    content = bytearray(path.read_bytes())
    at = 5 if place == "gap" else content.index(b"space") + len(b"space") + 2
    content[at] ^= 1
    path.write_bytes(content)
    assert filled.verify().ok
    checked = filled.verify(deep=True)
    assert not checked.ok
    assert checked.checksums == 1
    [problem] = checked.problems
    assert str(path) in problem
    assert "restore it from a backup" in problem


def test_shards_without_checksum_are_said_and_get_one(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    url = catalogue.url_in(home)
    filled.compact()
    [path] = shard_files(home)
    on_catalogue(url, "UPDATE shards SET checksum = NULL")
    checked = filled.verify(deep=True)
    assert checked.ok
    assert (checked.checksums, checked.without_checksum) == (0, 1)
    filled.compact()
    assert shard_files(home) == [path]
    assert filled.verify(deep=True).checksums == 1
    on_catalogue(url, "UPDATE shards SET checksum = 'later:12'")
    assert filled.verify(deep=True).without_checksum == 1


def test_a_damaged_shard_gets_no_checksum(filled: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    filled.compact()
    on_catalogue(catalogue.url_in(home), "UPDATE shards SET checksum = NULL")
    [path] = shard_files(home)
    path.write_bytes(path.read_bytes()[:-9])
    filled.compact()
    assert on_catalogue(catalogue.url_in(home), "SELECT checksum FROM shards") == [(None,)]


def changed_vector(content: bytes, vectors: bytes) -> bytes:
    at = content.index(vectors)
    return content[:at] + unit_vectors(1, 99).tobytes() + content[at + 64 :]


@pytest.mark.parametrize("part", ["vectors", "study", "series"])
def test_the_snapshot_is_compared_with_the_shards(
    filled: CaseIndex, home: Path, part: Literal["vectors", "series", "study"]
) -> None:
    ids = filled.images_of("2.25.0")[0].image_id
    table = None if part == "vectors" else filled.table(part)
    row = filled.vectors([ids])[0] if table is None else table.vectors[0]
    [file] = (home / "faiss").glob(f"*.{part}")
    file.write_bytes(changed_vector(file.read_bytes(), row.tobytes()))
    assert filled.verify().ok  # what is in memory is right
    checked = filled.verify(deep=True)
    assert not checked.ok
    assert all("index rebuild" in problem for problem in checked.problems)
    filled.rebuild()
    assert filled.verify(deep=True).ok


def test_an_empty_home_is_clean(home: Path, catalogue: Catalogue) -> None:
    with catalogue.open(home) as index:
        checked = index.verify(deep=True)
    assert checked.ok
    assert (checked.checksums, checked.snapshot) == (0, 0)


@pytest.mark.long(every=2)
def test_what_another_process_replaces_meanwhile_is_looked_at_again(
    filled: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medsiglip.index.search import check

    original: Callable[..., object] = check._check_shard
    merged: list[bool] = []

    def replaced_first(*arguments: object) -> object:
        if not merged:
            merged.append(True)
            with catalogue.open(home) as other:
                other.compact()
        return original(*arguments)

    monkeypatch.setattr(check, "_check_shard", replaced_first)
    checked = filled.verify(deep=True)
    assert merged
    assert checked.problems == ()


@sqlite_only
@pytest.mark.parametrize("kind", KINDS)
def test_snapshots_of_every_kind_are_compared(
    filled: CaseIndex, home: Path, catalogue: Catalogue, kind: str
) -> None:
    with catalogue.open(home, index_kind=kind) as index:
        index.rebuild()
        row = index.vectors([index.images_of("2.25.1")[0].image_id])[0]
        checked = index.verify(deep=True)
        assert (checked.problems, checked.snapshot) == ((), 10)
        [file] = (home / "faiss").glob("*.vectors")
        file.write_bytes(changed_vector(file.read_bytes(), row.tobytes()))
        assert not index.verify(deep=True).ok


def test_what_is_left_of_a_damaged_shard_after_a_deletion_is_still_named(
    filled: CaseIndex, home: Path
) -> None:
    path = shard_files(home)[1]
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    forgotten = next(uid for uid in ("2.25.0", "2.25.2") if _holds(filled, path, uid))
    filled.remove_study(forgotten)
    assert path not in shard_files(home)
    [problem] = filled.verify(deep=True).problems
    assert "is not what was written" in problem
    assert any(str(one) in problem for one in shard_files(home))


def _holds(index: CaseIndex, path: Path, study_instance_uid: str) -> bool:
    ids = [image.image_id for image in index.images_of(study_instance_uid)]
    return index.vectors(ids)[0].tobytes() in path.read_bytes()
