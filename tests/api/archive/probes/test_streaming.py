"""`probe predict --all` holds a part of the archive at a time, however large that is."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import CaseTable, Level
from tests.api.labelled_studies import STUDIES, make_labelled_home

AT_ONCE = 10


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_no_part_is_kept_when_the_next_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: Literal["mean", "max"]
) -> None:
    make_labelled_home(tmp_path / "home")
    parts: list[weakref.ref[NDArray[np.float32]]] = []
    whole = CaseIndex.table_parts

    def in_small_parts(index: CaseIndex, level: Level, where: Sequence[str]) -> Iterator[CaseTable]:
        for part in whole(index, level, where, images_at_once=AT_ONCE):
            assert sum(held() is not None for held in parts) <= 1
            parts.append(weakref.ref(part.vectors))
            yield part

    monkeypatch.setattr(CaseIndex, "table_parts", in_small_parts)
    out = tmp_path / "all.parquet"
    with Archive(tmp_path / "home") as archive:
        archive.train_probe("skin", labels=["melanoma"], level="study", plan=ProbePlan(pooling=pooling))
        score = partial(archive.predict_all, "skin")
        assert score(out=out, store=True).stored == STUDIES
        assert len(parts) == STUDIES / AT_ONCE
        assert pq.ParquetFile(out).num_row_groups == len(parts)
        assert score(out=out).rows == STUDIES
        assert len(parts) == 2 * STUDIES / AT_ONCE
