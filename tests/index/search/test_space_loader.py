"""How states are made from shards: what is added together, and what a full disk leaves."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import images
from medsiglip.index.errors import CatalogError
from medsiglip.index.search import space_loader
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.query_sample import QuerySample
from tests.index.index_cases import make_bundle, unit_vectors


def fill(index: CaseIndex, studies: range) -> None:
    """A shard of three images for each study."""
    for study in studies:
        index.add([make_bundle(study, 3)], unit_vectors(3, study))


def test_small_shards_are_added_to_the_index_together(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(12))
    monkeypatch.setattr(space_loader, "_ROWS", 7)
    sizes, add = [], BoundedIndex.add

    def counted(held: BoundedIndex, ids: Any, vectors: Any) -> None:
        sizes.append(len(ids))
        add(held, ids, vectors)

    monkeypatch.setattr(BoundedIndex, "add", counted)
    index._current._kind = "bounded"
    with index._current.view() as (loaded, connection):
        assert sizes == [9, 9, 9, 9]
        columns = select(images.c.id, images.c.study_id).order_by(images.c.id)
        rows = np.array(connection.execute(columns).all(), np.int64)
        order = np.argsort(loaded.index.ids)
        assert np.array_equal(loaded.index.ids[order], rows[:, 0])
        assert np.array_equal(loaded.owners_in_order.study[order], rows[:, 1])
        stored = np.concatenate([unit_vectors(3, study) for study in range(12)])
        assert np.array_equal(loaded.index.rows(rows[:, 0]), stored)


def test_a_rebuild_on_a_full_disk_says_so_and_searches_go_on(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(4))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(QuerySample, "write", full)
    with pytest.raises(CatalogError, match="is full") as caught:
        index.rebuild(unit_vectors(3))
    assert caught.value.code == "disk-full"
    assert len(index.search(unit_vectors(1), k=50)[0]) == 12
