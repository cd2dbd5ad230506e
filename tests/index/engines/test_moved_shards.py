"""Vectors that are read from shards which another process deletes or merges meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.engines import engine_search
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import Vectors
from tests.index.engines.conftest import EngineHome
from tests.index.index_cases import make_bundle, unit_vectors

MakeHome = Callable[[str], EngineHome]


def add(index: CaseIndex, studies: range) -> None:
    for study in studies:
        index.add([make_bundle(study, 3)], unit_vectors(3, study))


def test_images_are_read_where_another_process_moved_them(make_home: MakeHome) -> None:
    place = make_home("memory")
    with place.open() as index, place.open() as other:
        add(index, range(1, 5))
        state = index._current.load()
        ids = np.sort(state.index.ids)
        expected = state.index.rows(ids)
        state.index._shard_rows.keep(())  # type: ignore[attr-defined]
        other.remove_study("2.25.1")
        other.compact()
        assert np.array_equal(state.index.rows(ids[3:]), expected[3:])
        with pytest.raises(CatalogError) as caught:
            state.index.rows(ids)
        assert caught.value.code == "changed-meanwhile"


def test_every_reader_goes_on_when_cases_are_forgotten_under_it(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_home("memory")
    setting = place.setting
    monkeypatch.setattr(Database, "empty_log", lambda *_: None)  # which waits for readers to end
    with (
        place.open() as index,
        CaseIndex.open(place.home, vector_engine=setting, busy_seconds=0.1) as other,
    ):
        add(index, range(1, 12))
        gone = iter(range(1, 12))
        readers: list[Callable[[], object]] = [
            lambda: index.find([Asked(unit_vectors(1)[0])], SearchOptions(3, exact=True)),
            lambda: index.table("study"),
            lambda: list(index.table_parts("image")),
            lambda: index.sample_vectors(50),
            lambda: index.image_sample(50),
            lambda: index.background(Asked(unit_vectors(1)[0])),
            lambda: index.verify().ok,
        ]
        for read in readers:
            with monkeypatch.context() as patch:
                rows = engine_search.ImageSearch.rows
                told: list[int] = []

                def forgotten(search: engine_search.ImageSearch, ids: np.ndarray) -> Vectors:
                    if not told:  # noqa: B023
                        told.append(1)  # noqa: B023
                        search._shard_rows.keep(())
                        other.remove_study(f"2.25.{next(gone)}")
                        other.compact()
                    return rows(search, ids)  # noqa: B023

                patch.setattr(engine_search.ImageSearch, "rows", forgotten)
                assert read() is not False
                assert told


def test_a_shard_that_is_really_missing_is_named(make_home: MakeHome) -> None:
    place = make_home("memory")
    with place.open() as index:
        add(index, range(1, 3))
        state = index._current.load()
        for path in place.home.rglob("*.parquet"):
            path.unlink()
        state.index._shard_rows.keep(())  # type: ignore[attr-defined]
        with pytest.raises(CatalogError) as caught:
            index.search(unit_vectors(1), k=1)
        assert caught.value.code == "missing-shard"
