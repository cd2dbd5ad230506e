"""What other writers commit between the look at what is known and the transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.crash_recovery import announce_with_ids
from medsiglip.index.storage.shards import NewFiles, WrittenShard
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

BUSY_SECONDS = 20.0


class Between:
    """Calls `then` after each shard that is written, which fails where a lock is held meanwhile; `count` is
    of shards.
    """

    def __init__(self) -> None:
        self.count = 0
        self.then: Callable[[int], object] | None = None

    @contextmanager
    def calling(self, then: Callable[[int], object]) -> Iterator[None]:
        self.count, self.then = 0, then
        try:
            yield
        finally:
            self.then = None

    def written(self) -> None:
        then, self.then = self.then, None  # not for what it writes itself
        if then is not None:
            self.count += 1
            then(self.count)
            self.then = then


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    found, write = Between(), NewFiles.write_shard

    def writing(self: NewFiles, *given: Any) -> WrittenShard:
        shard = write(self, *given)
        found.written()
        return shard

    monkeypatch.setattr(NewFiles, "write_shard", writing)
    return found


@pytest.fixture
def other(index: CaseIndex, home: Path, catalogue: Catalogue) -> Iterator[CaseIndex]:
    """Another writer of the same home."""
    with catalogue.open(home, busy_seconds=BUSY_SECONDS) as opened:
        yield opened


def files_of(home: Path) -> int:
    return len(list((home / "vectors" / SPACE.name).iterdir()))


def test_the_same_images_that_another_adds_meanwhile_keep_its_ids(
    index: CaseIndex, other: CaseIndex, home: Path, between: Between
) -> None:
    theirs: list[int] = []

    def same(count: int) -> None:
        if count == 1:
            theirs.extend(other.add([make_bundle(1, 3)], unit_vectors(3)))

    with between.calling(same):
        mine = index.add([make_bundle(1, 3), make_bundle(2, 2)], unit_vectors(5))
    assert mine[:3] == theirs
    assert min(mine[3:]) > max(theirs)
    assert between.count == 2, "a smaller shard in place of the first"
    assert files_of(home) == 2
    assert index.info().images == 5
    assert index.verify().problems == ()


def test_ids_rise_in_the_order_of_commits(index: CaseIndex, other: CaseIndex, between: Between) -> None:
    """Whoever asks for what came after the highest id that it has seen must miss nothing."""
    seen: list[int] = []

    def overtake(count: int) -> None:
        if count < 3:
            other.add([make_bundle(100 + count, 1)], unit_vectors(1, count))
            seen.append(index.announcements.newest_image())

    with between.calling(overtake):
        mine = index.add([make_bundle(1, 2)], unit_vectors(2))
    assert between.count == 3
    assert min(mine) > max(seen)
    assert index.announcements.studies_after(seen[-1]) == ["2.25.1"]
    assert index.verify().problems == ()


def test_a_block_that_was_reserved_later_overtakes_only_with_its_commit(
    index: CaseIndex, other: CaseIndex, between: Between
) -> None:
    """Reserving alone costs nobody a second shard."""
    with between.calling(lambda _: reserve(other)):
        index.add([make_bundle(1, 2)], unit_vectors(2))
    assert between.count == 1


def reserve(index: CaseIndex) -> None:
    """Reserve a block, as a writer does that is killed then."""
    _, block = announce_with_ids(index._database, "*/*/{token}-*", 50)
    assert len(block) == 50


def test_one_who_is_always_overtaken_ends_inside_the_transaction(
    index: CaseIndex, other: CaseIndex, home: Path, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medsiglip.index.storage.insertion._ATTEMPTS", 3)

    def overtake(count: int) -> None:
        if count <= 3:  # then the lock is held
            other.add([make_bundle(100 + count, 1)], unit_vectors(1, count))

    with between.calling(overtake):
        mine = index.add([make_bundle(1, 2)], unit_vectors(2))
    assert between.count == 4
    assert files_of(home) == 4
    assert (index.vectors(mine) == unit_vectors(2)).all()
    assert index.verify().problems == ()


def test_what_is_forgotten_meanwhile_comes_back_whole(
    index: CaseIndex, other: CaseIndex, between: Between
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))

    def forget(count: int) -> None:
        if count == 1:
            other.remove_study("2.25.1")

    with between.calling(forget):
        ids = index.add([make_bundle(1, 2), make_bundle(2, 1)], unit_vectors(3))
    assert [one.image_id for one in index.images_of("2.25.1")] == ids[:2]
    assert np.array_equal(index.vectors(ids), unit_vectors(3))
    assert index.verify().problems == ()


def test_a_study_of_two_patients_stays_with_the_one_who_was_first(
    index: CaseIndex, other: CaseIndex, between: Between
) -> None:
    """Both writers found the study new; facts about the second person must not describe the first."""
    of = {"patient_sex": "M", "patient_age": 50.0, "study_description": "CHEST"}
    about = {"patient_sex": "F", "patient_age": 30.0, "study_date": "2020-01-02"}

    def first(count: int) -> None:
        if count == 1:
            other.add([make_bundle(1, 1, patient="first", study_fields=of)], unit_vectors(1))

    with between.calling(first):
        index.add([make_bundle(1, 1, series=1, patient="second", study_fields=about)], unit_vectors(1, 2))
    detail = index.study("2.25.1")
    assert (detail.study.patient_key, len(detail.series)) == ("first", 2)
    assert (detail.study.patient_sex, detail.study.patient_age, detail.study.study_date) == ("M", 50.0, None)
    with pytest.raises(CatalogError, match="no patient second"):
        index.remove_patient("second")
    index.remove_patient("first")
    assert index.info().images == 0


def test_of_two_patients_in_one_addition_the_first_stays(index: CaseIndex) -> None:
    ours = make_bundle(1, 1, patient="b", study_fields={"study_description": "Z"})
    theirs = make_bundle(
        1, 1, series=1, patient="a", study_fields={"patient_sex": "F", "study_description": "A"}
    )
    index.add([ours, theirs], unit_vectors(2))
    detail = index.study("2.25.1").study
    assert (detail.patient_key, detail.patient_sex, detail.study_description) == ("b", None, "A")
