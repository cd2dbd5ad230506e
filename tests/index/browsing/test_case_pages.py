"""Pages of cases against the same cases, sorted and filtered in plain Python."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from medsiglip.index.browsing.browsing_records import CaseRecord
from medsiglip.index.browsing.case_pages import SORTS
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.browsing.random_archive import MARKS, RandomArchive, fill, filters
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

STUDIES = 40


@pytest.fixture(scope="module")
def filled(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[CaseIndex, RandomArchive]]:
    archive = RandomArchive()
    with make_catalogue().open(tmp_path_factory.mktemp("pages") / "home") as index:
        index.activate(SPACE)
        fill(index, archive, range(STUDIES), 1)
        yield index, archive


def all_pages(index: CaseIndex, limit: int, **asked: Any) -> list[CaseRecord]:
    found: list[CaseRecord] = []
    cursor = None
    for _ in range(STUDIES + 2):
        page = index.browser.page(limit=limit, cursor=cursor, **asked)
        found += page.cases
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page.cases) == limit
    raise AssertionError("the pages do not end")


@pytest.mark.long(every=2)
def test_each_filter_gives_the_cases_that_plain_python_gives(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, archive = filled
    for text, test in filters(archive).items():
        page = index.browser.page([text], limit=200)
        assert {one.study_instance_uid for one in page.cases} == archive.fitting(test), text
        assert (page.total, page.capped, page.cursor) == (len(page.cases), False, None)
        assert sorted(index.browser.uids([text])) == sorted(archive.fitting(test))


def test_one_image_passes_all_filters_together(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, archive = filled
    known, rng = filters(archive), random.Random(2)
    for _ in range(15):
        chosen = rng.sample(sorted(known), 3)
        wanted = archive.fitting(*(known[text] for text in chosen))
        assert {one.study_instance_uid for one in index.browser.page(chosen, limit=200).cases} == wanted, (
            chosen
        )
        without = [
            len(archive.fitting(*(known[other] for other in chosen if other != text))) for text in chosen
        ]
        assert index.browser.without_each(chosen) == without, chosen


@pytest.mark.long(every=3)
@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
def test_pages_follow_the_sort_with_absent_values_last(
    filled: tuple[CaseIndex, RandomArchive], sort: str
) -> None:
    index, _ = filled
    whole = index.browser.page(sort=sort, limit=200).cases
    assert len(whole) == STUDIES
    keys = [getattr(one, sort.removeprefix("-")) for one in whole]
    given = [key for key in keys if key is not None]
    assert keys[: len(given)] == sorted(given, reverse=sort.startswith("-"))
    for limit in (7, STUDIES):
        assert all_pages(index, limit, sort=sort) == list(whole)
    where = ["modality=CT|MR"]
    assert all_pages(index, 5, sort=sort, where=where) == list(
        index.browser.page(where, sort=sort, limit=200).cases
    )


def test_a_case_says_what_its_images_say(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, archive = filled
    by_uid = {one.study_instance_uid: one for one in index.studies()}
    for case in index.browser.page(limit=200).cases:
        theirs = archive.of(case.study_instance_uid)
        first = theirs[0].values
        assert case.images == len(theirs) == sum(one.images for one in case.pictures)
        assert case.series == len({one.values["series"] for one in theirs}) == len(case.pictures)
        assert case.modalities == tuple(
            sorted({p.values["modality"] for p in theirs if p.values["modality"]})
        )
        assert (case.patient_age, case.study_date) == (first["age"], first["date"])
        assert (case.patient_key, case.study_description) == (first["patient"], first["description"])
        assert case.quality == tuple(name for name in MARKS if any(one.quality[name] for one in theirs))
        assert case.labels == by_uid[case.study_instance_uid].labels
        assert case.drafts == 0
        middle = [index.get(one.image_id) for one in case.pictures]
        for image, shown in zip(middle, case.pictures, strict=True):
            assert image.slice_index == shown.images // 2
            assert dict(image.quality) == dict(shown.quality)


def test_records_are_in_the_order_of_their_uids(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, _ = filled
    asked = ["2.25.9", "2.25.unknown", "2.25.1", "2.25.30"]
    found = [one.study_instance_uid for one in index.browser.records(asked)]
    assert found == ["2.25.9", "2.25.1", "2.25.30"]


@pytest.mark.long(every=3)
@pytest.mark.parametrize("sort", ["study_date", "-study_date", "-images", "added_at"])
def test_cases_that_come_and_go_move_no_others(catalogue: Catalogue, tmp_path: Any, sort: str) -> None:
    archive = RandomArchive()
    with catalogue.open_migrated(tmp_path / "home") as index:
        fill(index, archive, range(20), 3)
        before = [one.study_instance_uid for one in index.browser.page(sort=sort, limit=200).cases]
        first = index.browser.page(sort=sort, limit=8)
        gone = [before[2], before[7], before[12]]
        for uid in gone:
            index.remove_study(uid)
        dated = {"study_date": "2022-12-31"}
        index.add([make_bundle(900 + n, 2, study_fields=dated) for n in range(5)], unit_vectors(10, 4))
        rest, cursor = [], first.cursor
        while cursor is not None:
            page = index.browser.page(sort=sort, limit=8, cursor=cursor)
            rest += [one.study_instance_uid for one in page.cases]
            cursor = page.cursor
        old = [uid for uid in rest if not uid.startswith("2.25.90")]
        assert old == [uid for uid in before[8:] if uid not in gone]
        assert len(rest) == len(set(rest))


def test_a_cursor_is_of_its_sort_and_its_filters(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, _ = filled
    cursor = index.browser.page(["frame=1"], sort="study_date", limit=5).cursor
    assert cursor is not None
    for where, sort in (
        (["frame=1"], "-study_date"),
        ([], "study_date"),
        (["frame=1", "frame=1"], "study_date"),
    ):
        with pytest.raises(CatalogError, match="another sort") as caught:
            index.browser.page(where, sort=sort, cursor=cursor)
        assert caught.value.code == "bad-cursor"


@pytest.mark.parametrize(
    "cursor",
    ["", "a", "\u00e9", "W10", "bnVsbA", "eyJhIjoxfQ", "A" * 5000, "WyIwIixudWxsLC0xXQ", "WyIwIix7fSwxXQ"],
)
def test_what_is_no_cursor_is_refused(filled: tuple[CaseIndex, RandomArchive], cursor: str) -> None:
    index, _ = filled
    with pytest.raises(CatalogError, match="cannot be read") as caught:
        index.browser.page(cursor=cursor)
    assert caught.value.code == "bad-cursor"


@pytest.mark.parametrize(
    "key",
    ["at:0001-01-01T00:00:00+14:00", "at:9999-12-31T23:59:59-14:00", "at:2020", "at:2020-01-01", 3, True, {}],
)
def test_a_moment_that_no_case_can_have_is_refused(
    filled: tuple[CaseIndex, RandomArchive], key: object
) -> None:
    """As somebody makes it who read how cursors are made."""
    index, _ = filled
    cursor = index.browser.page(limit=1).cursor
    assert cursor is not None
    digest, _, study_id = json.loads(urlsafe_b64decode(cursor + "=="))
    forged = urlsafe_b64encode(json.dumps([digest, key, study_id]).encode()).decode().rstrip("=")
    with pytest.raises(CatalogError, match="cannot be read") as caught:
        index.browser.page(cursor=forged)
    assert caught.value.code == "bad-cursor"


def test_an_unknown_sort_and_an_unknown_collection_are_named(
    filled: tuple[CaseIndex, RandomArchive],
) -> None:
    index, _ = filled
    with pytest.raises(CatalogError, match="choose study_date, added_at") as sort:
        index.browser.page(sort="name")
    with pytest.raises(CatalogError, match="did you mean teaching") as collection:
        index.browser.page(["collection=teachin"])
    assert (sort.value.code, collection.value.code) == ("bad-sort", "bad-filter")


@pytest.mark.parametrize(
    "text", ["patient_age=..", "patient_age=a..2", "patient_age=1..b", "patient_age=1..2..3"]
)
def test_a_range_that_is_none_is_refused(filled: tuple[CaseIndex, RandomArchive], text: str) -> None:
    index, _ = filled
    with pytest.raises(CatalogError) as caught:
        index.browser.page([text])
    assert caught.value.code == "bad-filter"
