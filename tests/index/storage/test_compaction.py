from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Compaction
from medsiglip.index.storage import compaction
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


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


def test_a_shard_that_is_not_what_was_written_keeps_the_checksum_that_says_so(
    index: CaseIndex, home: Path
) -> None:
    for study in range(3):
        index.add([make_bundle(study, 2)], unit_vectors(2, study))
    [changed] = [path for path in shard_files(home) if unit_vectors(2, 1).tobytes() in path.read_bytes()]
    changed.write_bytes(
        changed.read_bytes().replace(unit_vectors(2, 1).tobytes(), unit_vectors(2, 9).tobytes())
    )
    assert index.compact() == Compaction(3, 2)
    assert changed in shard_files(home)
    problems = index.verify(deep=True).problems
    assert any(str(changed) in problem and "not what was written" in problem for problem in problems)
