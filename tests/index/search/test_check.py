"""Every kind of damage is found, named, and where it can be, put right."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

# Given the home and the URL of its catalogue.
Damage = Callable[[Path, str], object]


def shards(home: Path) -> list[Path]:
    return sorted((home / "vectors" / SPACE.name).glob("*.parquet"))


def rewrite(path: Path, change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    table = pq.read_table(path)
    ids, vectors = change(
        table["image_id"].to_numpy().copy(), np.array(table["embedding"].to_pylist(), np.float16)
    )
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), list_size=vectors.shape[1])
    pq.write_table(pa.table({"image_id": ids, "embedding": column}), path)


def rewritten(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Damage:
    return lambda home, _: rewrite(shards(home)[0], change)


def execute(url: str, statement: str) -> None:
    """Run a statement that foreign keys would refuse."""
    engine = create_engine(url)
    postgresql = engine.dialect.name == "postgresql"
    careless = "SET session_replication_role = replica" if postgresql else "PRAGMA foreign_keys=OFF"
    with engine.begin() as connection:
        connection.execute(text(careless))
        connection.execute(text(statement))
    engine.dispose()


def double_elsewhere(home: Path, _url: str) -> None:
    first, second = shards(home)
    ids = pq.read_table(first)["image_id"].to_numpy()
    rewrite(second, lambda i, v: (np.append(i, ids[:1]), np.append(v, v[:1], axis=0)))


DAMAGE: dict[str, tuple[Damage, str]] = {
    "missing shard": (lambda home, _: shards(home)[0].unlink(), "is gone"),
    "unreadable shard": (lambda home, _: shards(home)[0].write_bytes(b"PAR1 no PAR1"), "cannot be read"),
    "image without vector": (
        rewritten(lambda i, v: (i[1:], v[1:])),
        "lacks the vectors",
    ),
    "vector without image": (
        lambda home, _: rewrite(
            shards(home)[0], lambda i, v: (np.append(i, 999), np.append(v, v[:1], axis=0))
        ),
        "without an image: 1 images (999)",
    ),
    "double": (double_elsewhere, "stored twice"),
    "wrong dimension": (rewritten(lambda i, v: (i, v[:, :7])), "7 values"),
    "not unit length": (
        rewritten(lambda i, v: (i, v * 2)),
        "not of unit length",
    ),
    "not finite": (
        rewritten(lambda i, v: (i, v * np.inf)),
        "not of unit length",
    ),
    "orphan": (
        lambda _, url: execute(url, "DELETE FROM patients"),
        "2 rows of studies have no patients",
    ),
    "crossed": (
        lambda _, url: execute(url, "UPDATE images SET study_id = (SELECT max(id) FROM studies)"),
        "stand in another series",
    ),
}


@pytest.mark.long(every=3)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(home: Path, index: CaseIndex, damage: str, catalogue: Catalogue) -> None:
    index.add([make_bundle(1, 3)], unit_vectors(3, 1))
    index.add([make_bundle(2, 3)], unit_vectors(3, 2))
    assert index.verify().problems == ()
    index.close()
    break_it, message = DAMAGE[damage]
    break_it(home, catalogue.url_in(home))
    for _ in ("with the snapshot", "without"):
        with catalogue.open(home) as again:
            checked = again.verify()
            assert again.verify() == checked
        assert not checked.ok
        assert any(message in problem for problem in checked.problems), checked.problems
        assert checked.images == 6
        shutil.rmtree(home / "faiss", ignore_errors=True)


def test_a_lost_shard_names_its_studies_and_search_says_so(
    home: Path, index: CaseIndex, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 3), make_bundle(2, 1)], unit_vectors(4, 1))
    index.close()
    shards(home)[0].unlink()
    with catalogue.open(home) as again:
        [problem, *_] = again.verify().problems
        assert "Images without vector: 4, of the studies 2.25.1, 2.25.2" in problem
        with pytest.raises(CatalogError, match="index verify") as caught:
            again.search(unit_vectors(1))
        assert caught.value.code == "missing-shard"


def test_a_wrong_snapshot_is_found_and_rebuilt(home: Path, index: CaseIndex, catalogue: Catalogue) -> None:
    ids = index.add([make_bundle(1, 3)], unit_vectors(3, 1))
    index.rebuild()
    vectors = index.vectors(ids).tobytes()
    index.close()
    [snapshot] = (home / "faiss").glob("*.vectors")
    content = snapshot.read_bytes()
    others = unit_vectors(3, 7).tobytes()
    assert content.count(vectors) == 1
    snapshot.write_bytes(content.replace(vectors, others))
    with catalogue.open(home) as again:
        checked = again.verify()
        assert [problem for problem in checked.problems if "index rebuild" in problem]
        assert again.rebuild().faiss.ntotal == 3
        assert again.verify().problems == ()
    with catalogue.open(home) as again:
        assert again.verify().problems == ()
