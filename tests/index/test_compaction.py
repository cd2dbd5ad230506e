from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from index_cases import SPACE, make_bundle, unit_vectors

from index import compaction
from index.case_index import CaseIndex
from index.records import Compaction, ProbeRecord

from .conftest import Catalogue


def shard_files(home: Path) -> list[Path]:
    return sorted((home / "vectors" / SPACE.name).iterdir())


def test_small_shards_become_one_and_search_stays_the_same(index: CaseIndex, home: Path) -> None:
    ids = [one for study in range(6) for one in index.add([make_bundle(study, 2)], unit_vectors(2, study))]
    index.remove_study("2.25.3")
    kept = [one for one in ids if one not in ids[6:8]]
    before = index.vectors(kept).copy()
    answers = index.search(unit_vectors(3, 50), k=20)
    assert index.compact() == Compaction(5, 1)
    assert len(shard_files(home)) == 1
    assert np.array_equal(index.vectors(kept), before)
    assert index.search(unit_vectors(3, 50), k=20) == answers
    assert index.verify().problems == ()
    assert index.compact() == Compaction(1, 1)


def test_no_shard_grows_beyond_full(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FULL_SHARD_ROWS", 5)
    for study, images in enumerate((2, 2, 2, 7, 1, 1)):
        index.add([make_bundle(study, images)], unit_vectors(images, study))
    # 2+2 | 2 | 7 | 1+1
    assert index.compact() == Compaction(6, 4)
    assert index.verify().problems == ()


def test_only_old_files_that_no_row_names_are_collected(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    [named] = shard_files(home)
    content = named.read_bytes()
    old, young, temporary = (
        named.with_name(name) for name in ("old.parquet", "young.parquet", ".x.parquet.1.tmp")
    )
    for path in (old, young, temporary):
        path.write_bytes(content)
    yesterday = time.time() - 25 * 3600
    for path in (old, named, temporary):
        os.utime(path, (yesterday, yesterday))
    index.close()
    with catalogue.open(home) as again:
        assert shard_files(home) == sorted([named, young])
        assert again.verify().problems == ()


def test_probe_files_that_no_row_names_are_collected(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    folder = home / "probes"
    folder.mkdir()
    for name in ("first", "second", "killed", "young"):
        (folder / f"{name}.npz").write_bytes(b"probe")
    index.record_probe(ProbeRecord("nodule", SPACE.name, "probes/first.npz"))
    index.record_probe(ProbeRecord("nodule", SPACE.name, "probes/second.npz"))
    assert not (folder / "first.npz").exists()
    yesterday = time.time() - 25 * 3600
    for name in ("second", "killed"):
        os.utime(folder / f"{name}.npz", (yesterday, yesterday))
    index.close()
    with catalogue.open(home):
        assert sorted(path.name for path in folder.iterdir()) == ["second.npz", "young.npz"]
