"""Every kind of index below whole homes: levels, filters, removals and pages against the plain reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.search.kinds import index_kinds
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.index_kinds import KINDS
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.search_records import SearchOptions
from tests.index.conftest import Catalogue
from tests.index.index_cases import sqlite_only
from tests.index.search.ranking.test_pages import World, check_pages, ways

_CODED = {"bounded": BoundedIndex, "quick": QuickIndex}
"""Kinds that make codes, here from a few rows on."""


@pytest.fixture
def _codes_from_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, made in _CODED.items():
        coded: Any = partial(made, least=20)
        monkeypatch.setitem(index_kinds.KINDS, name, replace(KINDS[name], new=coded))


@pytest.mark.long(every=3)
@sqlite_only
@pytest.mark.usefixtures("_codes_from_a_few_rows")
@pytest.mark.parametrize("kind", KINDS)
def test_homes_of_a_kind_answer_as_the_reference_does(
    tmp_path_factory: pytest.TempPathFactory, make_catalogue: Callable[[], Catalogue], kind: str
) -> None:
    homes = 1 if kind == "flat" or kind.startswith("gpu") else 2
    check_homes(tmp_path_factory, make_catalogue, kind, homes=homes)


@pytest.mark.long
@pytest.mark.usefixtures("_codes_from_a_few_rows")
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_homes_on_a_server_answer_as_the_reference_does(
    tmp_path_factory: pytest.TempPathFactory, make_catalogue: Callable[[], Catalogue]
) -> None:
    check_homes(tmp_path_factory, make_catalogue, "quick", homes=1)


def check_homes(
    tmp_path_factory: pytest.TempPathFactory,
    make_catalogue: Callable[[], Catalogue],
    kind: str,
    *,
    homes: int,
) -> None:
    @settings(max_examples=homes, deadline=None)
    @given(st.integers(0, 10**6), st.integers(15, 25), st.lists(ways(), min_size=3, max_size=3))
    def holds(seed: int, studies: int, chosen: list[SearchOptions]) -> None:
        home: Path = tmp_path_factory.mktemp("kinds") / "home"
        catalogue = make_catalogue()
        catalogue.open_migrated(home).close()
        with catalogue.open(home, index_kind=kind) as index:
            world = World(index, np.random.default_rng(seed))
            world.add(studies)
            for number, options in enumerate(chosen):
                check_pages(world, options, seed + number, changes=number % 2 == 1)
            assert _kind_of(index) == kind
        with catalogue.open(home, index_kind=kind) as index:
            world.index = index
            for number, options in enumerate(chosen[:1]):
                check_pages(world, options, seed + number, changes=False)

    holds()


def _kind_of(index: CaseIndex) -> str:
    chosen = index._current.chosen
    assert chosen is not None
    return chosen.name
