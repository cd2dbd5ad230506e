"""pgvector alone: what it refuses, what it keeps through a kill of the server, and what its SQL says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from medsiglip.index.engines.engine import FIELDS, Collection, VectorRows
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.errors import OUTAGES, CatalogError
from tests.index.engines.conftest import EngineHome
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer

COLLECTION = Collection(7, "image", 16)


def rows(ids: list[int], seed: int) -> VectorRows:
    fields = {name: [None] * len(ids) for name in FIELDS["image"]}
    return VectorRows(np.array(ids, np.int64), unit_vectors(len(ids), seed), fields)


def test_rows_are_replaced_by_id_and_read_back_as_rounded(make_home: Callable[[str], EngineHome]) -> None:
    place = make_home("pgvector")
    assert place.setting is not None
    database = Database(place.home, place.url, 10.0)
    engine = connect(place.setting, database)
    assert engine.count(COLLECTION) == 0
    assert len(engine.held(COLLECTION, 0, 10).ids) == 0
    assert [len(one) for one in engine.nearest(COLLECTION, unit_vectors(2), 5).ids] == [0, 0]
    engine.remove(COLLECTION, np.array([1], np.int64))
    first, second = rows([3, 1, 2], 0), rows([2, 9], 1)
    for _ in range(2):
        engine.put(COLLECTION, first)
    engine.put(COLLECTION, second)
    engine.flush()
    held = engine.held(COLLECTION, 0, 10)
    assert held.ids.tolist() == [1, 2, 3, 9]
    expected = np.stack([first.vectors[1], second.vectors[0], first.vectors[0], second.vectors[1]])
    assert (held.vectors == expected.astype(np.float16).astype(np.float32)).all()
    assert engine.held(COLLECTION, 2, 1).ids.tolist() == [3]
    found = engine.nearest(COLLECTION, second.vectors, 2)
    assert [one[0] for one in found.ids] == [2, 9]
    assert found.scores[0][0] == pytest.approx(1, abs=1e-3)
    engine.remove(COLLECTION, np.array([2, 77], np.int64))
    assert engine.count(COLLECTION) == 3
    engine.drop(7)
    engine.drop(7)
    assert engine.count(COLLECTION) == 0
    database.close()


def test_a_catalogue_without_the_extension_is_refused_with_the_cure(
    tmp_path: Path, postgresql_server: PostgresqlServer
) -> None:
    for number, url in enumerate((None, postgresql_server.new_database())):
        setting = EngineSetting("pgvector")
        with CaseIndex.open(tmp_path / str(number), database_url=url, vector_engine=setting) as index:
            index.activate(SPACE)
            index.add([make_bundle(1, 2)], unit_vectors(2))
            with pytest.raises(CatalogError, match="vector_url") as caught:
                index.search(unit_vectors(1))
            assert caught.value.code == "no-pgvector"


def test_a_setting_that_names_no_engine_is_refused(tmp_path: Path) -> None:
    setting = EngineSetting("qdrant://someone:secret@host")
    with CaseIndex.open(tmp_path / "home", vector_engine=setting) as index:
        index.activate(SPACE)
        with pytest.raises(CatalogError, match=r"pgvector or milvus://") as caught:
            index.feed_engine()
    assert caught.value.code == "bad-engine"
    assert "secret" not in f"{caught.value} {setting!r}"


def test_a_killed_server_has_lost_nothing_and_answers_again(
    make_home: Callable[[str], EngineHome], pgvector_server: PostgresqlServer
) -> None:
    place = make_home("pgvector")
    with place.open() as index:
        index.add([make_bundle(1, 4)], unit_vectors(4, 1))
        index.feed_engine()
        index.add([make_bundle(2, 4)], unit_vectors(4, 2))
        pgvector_server.stop()
        try:
            with pytest.raises(CatalogError) as caught:
                index.search(unit_vectors(1))
            assert caught.value.code in OUTAGES
        finally:
            pgvector_server.start()
        assert len(index.search(unit_vectors(1), k=50)[0]) == 8
        assert index.verify().ok
