"""Thumbnails of a catalogue: added with their images, found, made later, and gone with their images."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.browsing.schema import thumbnails
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import SeriesBundle
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.thumbnails import ThumbnailCount, tag_of
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors
from tests.index.storage.test_reembedding import OTHER, drawn

SHOWN, WITHHELD = {"burned_in": "no"}, {"burned_in": "likely"}


def bundle(study: int, *small: bytes, quality: dict[str, str] = SHOWN) -> SeriesBundle:
    """A series with an image for each thumbnail."""
    made = make_bundle(study, len(small), image_fields={"quality": quality})
    images = tuple(replace(one, thumbnail=content) for one, content in zip(made.images, small, strict=True))
    return replace(made, images=images)


@pytest.fixture
def filled(index: CaseIndex) -> tuple[CaseIndex, list[int]]:
    """A study with two thumbnails, one whose second is missing, and one that is withheld."""
    ids = index.add(
        [bundle(0, b"a", b"b"), bundle(1, b"c", b""), bundle(2, b"", b"", quality=WITHHELD)],
        unit_vectors(6, 1),
    )
    return index, ids


def stored(index: CaseIndex) -> dict[int, bytes]:
    with index._database.read() as connection:
        rows = connection.execute(select(thumbnails.c.image_id, thumbnails.c.content))
        return {row.image_id: bytes(row.content) for row in rows}


def test_they_are_found_by_image(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    shown = index.thumbnails.shown([*ids, 10**9, ids[0]])
    assert list(shown) == ids
    assert [one.thumbnail and one.thumbnail.content for one in shown.values()] == [
        *(b"a", b"b", b"c", None, None, None)
    ]
    first = index.thumbnails.one(ids[0])
    assert first.thumbnail is not None
    assert first.thumbnail.tag == tag_of(b"a") != tag_of(b"b")
    assert (first.study_instance_uid, first.series_instance_uid) == ("2.25.0", "2.25.0.0")
    assert shown[ids[4]].quality["burned_in"] == "likely"
    assert index.thumbnails.shown([]) == {}
    with pytest.raises(CatalogError, match="no image 999") as caught:
        index.thumbnails.one(999_999)
    assert caught.value.code == "unknown-image"


def test_the_same_files_again_leave_them_as_they_are(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    assert index.add([bundle(0, b"x", b"y")], unit_vectors(2, 5)) == ids[:2]
    assert stored(index) == {ids[0]: b"a", ids[1]: b"b", ids[2]: b"c"}


def test_missing_ones_are_named_and_made_once(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    assert index.thumbnails.count() == ThumbnailCount(4, 3)
    [(row, uid)] = index.thumbnails.series_lacking(0, 10)
    assert uid == "2.25.1.0"
    assert index.thumbnails.series_lacking(row, 10) == []
    [lacking] = index.thumbnails.lacking_in(uid)
    assert (lacking.image_id, lacking.sop_instance_uid, lacking.frame) == (ids[3], "2.25.1.0.1", 1)
    assert (lacking.rendering, lacking.pixel_hash) == ("voi", "a-1-0-1")
    made = {ids[3]: b"d", ids[0]: b"other", 10**9: b"of no image", ids[4]: b""}
    assert index.thumbnails.put(made) == 1
    assert index.thumbnails.put(made) == 0
    assert stored(index) == {ids[0]: b"a", ids[1]: b"b", ids[2]: b"c", ids[3]: b"d"}
    assert index.thumbnails.series_lacking(0, 10) == []
    assert index.thumbnails.lacking_in(uid) == []
    assert index.thumbnails.count() == ThumbnailCount(4, 4)


def test_two_that_make_the_same_at_once(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    begin = threading.Barrier(4)
    made: list[int] = []

    def make(content: bytes) -> None:
        begin.wait()
        made.append(index.thumbnails.put({ids[3]: content}))

    threads = [threading.Thread(target=make, args=(bytes([n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 0, 0, 1]
    assert len(stored(index)) == 4


def test_they_go_with_their_images(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    index.remove_study("2.25.0")
    assert stored(index) == {ids[2]: b"c"}
    new = index.add([replace(bundle(1, b"z"), replace_series=True)], unit_vectors(1, 4))
    assert stored(index) == {new[0]: b"z"}
    index.remove_patient("patient-1")
    assert stored(index) == {}
    assert index.verify().problems == ()


def test_another_space_has_its_own(filled: tuple[CaseIndex, list[int]]) -> None:
    index, ids = filled
    work = index.reembedding(OTHER)
    pictures = [
        (image_id, replace(record, thumbnail=b"new"))
        for image_id, record in drawn(work, work.series(0, 10))
        if image_id in ids[:4]
    ]
    assert work.add(pictures, unit_vectors(4, 2, 8)) == 4
    assert sorted(stored(index).values()) == [b"a", b"b", b"c", *[b"new"] * 4]
    assert work.finish(ids[4:])
    assert index.thumbnails.count() == ThumbnailCount(4, 4)
    assert index.thumbnails.one(ids[0]).thumbnail is not None, "by its id in the former space"
    with pytest.raises(CatalogError):  # the withheld images are there alone
        index.spaces.drop(SPACE.name)
    index.remove_study("2.25.2")
    index.spaces.drop(SPACE.name)
    assert set(stored(index).values()) == {b"new"}
    assert index.verify().problems == ()


def test_backups_hold_them(
    filled: tuple[CaseIndex, list[int]], catalogue: Catalogue, home: Path, tmp_path: Path
) -> None:
    index, _ = filled
    back_up(home, tmp_path / "copy", catalogue.url, lambda *_: None)
    with CaseIndex.open(tmp_path / "copy", create=False) as copy:
        assert stored(copy) == stored(index)
        assert copy.verify().ok


@sqlite_only
def test_one_without_its_image_is_a_fault_and_an_image_without_one_is_not(
    filled: tuple[CaseIndex, list[int]], home: Path
) -> None:
    index, ids = filled
    assert index.verify().ok
    with closing(sqlite3.connect(home / "catalog.db")) as other, other:
        other.execute("INSERT INTO thumbnails VALUES (?, 'tag', x'00')", (max(ids) + 1000,))
    [problem] = index.verify().problems
    assert problem == "1 rows of thumbnails have no images; restore catalog.db from a backup."
