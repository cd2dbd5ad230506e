"""Two spaces beside each other, on both databases: what is left, what was forgotten, the switch, dropping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import ImageRecord, RenderingCount, Space
from medsiglip.index.storage.reembedding import Reembedding
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

OTHER = Space("0ddba11" * 9, "medsiglip-eval", 8, "other")


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CaseIndex]:
    """Three studies of two images, of two patients."""
    url = None
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        url = make()
    with CaseIndex.open(tmp_path / "home", database_url=url) as opened:
        opened.activate(SPACE)
        bundles = [make_bundle(n, 2, patient=f"patient-{n % 2}") for n in range(3)]
        opened.add(bundles, unit_vectors(6, 1))
        yield opened


def drawn(work: Reembedding, series: list[int]) -> list[tuple[int, ImageRecord]]:
    """What a run would draw of some series."""
    return [
        (
            one.image_id,
            ImageRecord(one.sop_instance_uid, one.pixel_hash, one.frame, None, "voi", {"version": 2}),
        )
        for series_id in series
        for one in work.images(series_id)
        if not one.done
    ]


def test_a_second_space_is_filled_and_switched_to(index: CaseIndex) -> None:
    work = index.reembedding(OTHER)
    series = work.series(0, 10)
    assert (len(series), work.count()) == (3, (0, 6))
    assert work.series(series[0], 1) == series[1:2]
    pictures = drawn(work, series[:2])
    assert work.add(pictures, unit_vectors(4, 2, 8)) == 4
    assert work.add(pictures, unit_vectors(4, 3, 8)) == 0, "what is done stays"
    assert (work.series(0, 10), work.count()) == (series[2:], (4, 6))
    assert not work.finish([])
    assert index.space == SPACE
    query = unit_vectors(1, 9)
    before = index.search(query, k=6)[0]
    assert len(before) == 6
    again = index.reembedding(OTHER)
    assert again.add(drawn(again, series), unit_vectors(2, 4, 8)) == 2
    assert again.finish([])
    assert index.space == OTHER
    assert index.verify().problems == ()
    hits = index.search(unit_vectors(1, 2, 8), k=6)[0]
    assert len(hits) == 6
    assert [index.get(hit.image_id).image_id for hit in before] != [hit.image_id for hit in before]
    assert {index.get(hit.image_id).sop_instance_uid for hit in before} == {
        hit.sop_instance_uid for hit in hits
    }
    stored = index.get(hits[0].image_id)
    assert (stored.slice_index, stored.rendering_params) == (stored.slice_index, {"version": 2})
    with pytest.raises(CatalogError, match="another model") as late:
        work.add(pictures, unit_vectors(4, 2, 8))
    assert late.value.code == "space-switched"
    with pytest.raises(CatalogError) as refused:
        index.activate(SPACE)
    assert "index reembed --to" in str(refused.value)


def test_what_is_forgotten_meanwhile_stays_forgotten(index: CaseIndex) -> None:
    work = index.reembedding(OTHER)
    series = work.series(0, 10)
    pictures = drawn(work, series)
    work.add(pictures[:2], unit_vectors(2, 2, 8))
    removed = index.remove_patient("patient-0")
    assert removed.studies == 2
    assert work.add(pictures, unit_vectors(6, 2, 8)) == 2, "only those of the patient who is left"
    assert work.finish([])
    assert [(one.images, one.active) for one in index.spaces.listed()] == [(2, True), (2, False)]
    assert index.verify().problems == ()


def test_images_that_are_missing_stay_behind_when_told_so(index: CaseIndex) -> None:
    work = index.reembedding(OTHER)
    series = work.series(0, 10)
    work.add(drawn(work, series[:2]), unit_vectors(4, 2, 8))
    left = [one.image_id for one in work.images(series[2])]
    study = index.get(left[0]).study_instance_uid
    assert not work.finish(left[:1])
    assert work.finish(left)
    assert index.info().images == 4
    assert [one.images for one in index.spaces.listed()] == [4, 6]
    (former,) = [one.name for one in index.spaces.listed() if not one.active]
    with pytest.raises(CatalogError, match=r"^2 images of .* are not in the space") as needed:
        index.spaces.drop(former)
    assert needed.value.code == "space-needed"
    assert [one.images for one in index.spaces.listed()] == [4, 6]
    index.remove_study(study)
    assert [one.images for one in index.spaces.listed()] == [4, 4]
    assert index.spaces.drop(former) == 4
    assert [one.images for one in index.spaces.listed()] == [4]
    assert not list((index.home / "vectors" / former).glob("*"))
    with pytest.raises(CatalogError) as unknown:
        index.spaces.drop(former)
    assert unknown.value.code == "unknown-space"
    with pytest.raises(CatalogError) as used:
        index.spaces.drop(OTHER.name)
    assert used.value.code == "space-in-use"
    assert index.verify().problems == ()


def test_outdated_images_are_replaced_in_their_space(index: CaseIndex) -> None:
    before = index.table()
    kinds = [RenderingCount("voi", 1, 6)]
    work = index.reembedding(None, kinds)
    series = work.series(0, 10)
    pictures = drawn(work, series)
    wanted = unit_vectors(6, 7)
    assert work.add(pictures[:4], wanted[:4]) == 4
    assert (work.count(), work.finish([])) == ((4, 6), False)
    assert work.add(pictures, wanted) == 2
    assert work.finish([])
    assert index.space == SPACE
    after = index.table()
    assert len(after.image_ids) == 6
    assert not set(after.image_ids.tolist()) & set(before.image_ids.tolist())
    by_place = {record.sop_instance_uid: vector for (_, record), vector in zip(pictures, wanted, strict=True)}
    for image_id, vector in zip(after.image_ids, after.vectors, strict=True):
        np.testing.assert_allclose(vector, by_place[index.get(int(image_id)).sop_instance_uid], atol=1e-6)
    assert index.verify().problems == ()
    assert index.reembedding(SPACE, kinds).count() == (6, 6)


def test_pixel_hashes_are_renewed_in_every_row(index: CaseIndex) -> None:
    index.labels.put([LabelRecord("clear", 1.0, "path", "/data/0/0/0.dcm")])
    index.pixel_hashes.renew({"a-0-0-0": "blake3:0", "unknown": "blake3:1"})
    (image,) = index.find_image("2.25.0.0.0", "blake3:0")
    assert image.labels == {"clear": 1.0}
    assert index.files.at(["/data/0/0/0.dcm"])["/data/0/0/0.dcm"].pixel_hash == "blake3:0"
    assert index.pixel_hashes.as_stored({"blake3:x": "a-0-0-1", "blake3:y": "none"}) == {
        "blake3:x": "a-0-0-1"
    }
    again = replace(make_bundle(0, 2, patient="patient-0", pixels=["blake3:0", "a-0-0-1"]))
    assert len(index.add([again], unit_vectors(2, 3))) == 2
    assert index.info().images == 6
    index.pixel_hashes.renew({"a-0-0-0": "blake3:0"})
    assert index.verify().problems == ()


def test_a_space_that_is_dropped_while_it_is_filled_ends_the_run(index: CaseIndex) -> None:
    work = index.reembedding(OTHER)
    pictures = drawn(work, work.series(0, 10))
    work.add(pictures[:2], unit_vectors(2, 2, 8))
    assert index.spaces.drop(OTHER.name) == 2
    with pytest.raises(CatalogError) as dropped:
        work.add(pictures[2:], unit_vectors(4, 2, 8))
    assert dropped.value.code == "space-dropped"
    with pytest.raises(CatalogError) as late:
        work.finish([image_id for image_id, _ in pictures])
    assert late.value.code == "space-dropped"
    assert index.space == SPACE
    assert index.verify().problems == ()
    again = index.reembedding(OTHER)
    assert again.add(pictures, unit_vectors(6, 2, 8)) == 6
    assert again.finish([])
