"""A series that is replaced: what is drawn as it was stays, what changed is new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import SeriesBundle
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def shards(home: Path) -> dict[str, bytes]:
    folder = home / "vectors" / SPACE.name
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_image(bundle: SeriesBundle, number: int, **fields: Any) -> SeriesBundle:
    """The bundle with another record of one image."""
    images = [replace(one, **fields) if i == number else one for i, one in enumerate(bundle.images)]
    return replace(bundle, images=tuple(images))


def test_the_same_series_again_changes_nothing(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    drawn = {"rendering_params": {"windows": ((1, 2.5),), "version": 1}, "thumbnail": b"j"}
    bundle = make_bundle(1, 3, image_fields=drawn)
    other = make_bundle(2, 2)
    first = index.add([bundle, other], unit_vectors(5, 1))
    before, stored = shards(home), index.images_of("2.25.1")
    again = replace(bundle, replace_series=True)
    # As another device would compute them.
    vectors = unit_vectors(3, 5) * 1e-3 + unit_vectors(5, 1)[:3]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    assert index.add([again], vectors) == first[:3]
    known = frozenset((one.sop_instance_uid, one.pixel_hash) for one in bundle.instances)
    assert index.add([replace(again, replaced=known)], vectors) == first[:3]
    assert shards(home) == before
    assert index.images_of("2.25.1") == stored
    assert (index.vectors(first) == unit_vectors(5, 1)).all()
    assert index.verify().problems == ()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_changed_is_new_and_the_rest_stays(home: Path, catalogue: Catalogue, dtype: Any) -> None:
    with catalogue.open_migrated(home) as made:
        made.close()
    with catalogue.open(home, vector_dtype=dtype) as index:
        bundle = make_bundle(1, 5)
        first = index.add([bundle], unit_vectors(5, 1))
        drawn = with_image(bundle, 1, rendering_params={"limits": [0, 9]})
        again = replace(
            drawn,
            replace_series=True,
            instances=drawn.instances[:4],
            images=drawn.images[:4],
            files=drawn.files[:4],
        )
        vectors = unit_vectors(5, 1)[:4].copy()
        vectors[2] = unit_vectors(1, 9)[0]
        second = index.add([again], vectors)
        assert [old == new for old, new in zip(first, second, strict=False)] == [True, False, False, True]
        assert min(second[1:3]) > max(first)
        held = index.images_of("2.25.1")
        assert sorted(one.image_id for one in held) == sorted(second)
        assert next(one for one in held if one.image_id == second[1]).rendering_params == {"limits": [0, 9]}
        assert np.abs(index.vectors(second) - vectors).max() < 1e-3
        assert "/data/1/0/4.dcm" not in index.files.by_path()
        assert {"/data/1/0/0.dcm", "/data/1/0/2.dcm"} <= set(index.files.by_path())
        assert index.verify().problems == ()
        with pytest.raises(KeyError), index._current.loaded() as loaded:
            loaded.index.rows(np.array([first[1]]))


def test_the_facts_of_what_stays_are_those_that_came_last(index: CaseIndex) -> None:
    bundle = make_bundle(1, 2)
    first = index.add([bundle], unit_vectors(2, 1))
    moved = with_image(bundle, 0, slice_index=7, warnings=("odd",), quality={"sharp": 0.5, "mark": True})
    described = replace(
        moved,
        replace_series=True,
        series=replace(moved.series, orientation="axial"),
        instances=(replace(moved.instances[0], instance_number=9), moved.instances[1]),
    )
    assert index.add([described], unit_vectors(2, 1)) == first
    shown = index.get(first[0])
    assert (shown.slice_index, shown.warnings, shown.quality) == (7, ("odd",), {"sharp": 0.5, "mark": True})
    assert index.get(first[1]).slice_index == 1
    assert [one.study_instance_uid for one in index.studies(["orientation=axial"])] == ["2.25.1"]
    assert index.verify().problems == ()


def test_an_instance_that_is_drawn_no_more_keeps_its_place_without_images(index: CaseIndex) -> None:
    """As where a longer series is sampled: slices of the shorter one are left out."""
    bundle = make_bundle(1, 3)
    first = index.add([bundle], unit_vectors(3, 1))
    again = replace(bundle, replace_series=True, images=bundle.images[::2])
    assert index.add([again], unit_vectors(3, 1)[::2]) == first[::2]
    assert [one.image_id for one in index.images_of("2.25.1")] == first[::2]
    assert index.info().instances == 3
    assert index.verify().problems == ()


def test_vectors_that_cannot_be_read_are_renewed(index: CaseIndex, home: Path) -> None:
    bundle = make_bundle(1, 2)
    first = index.add([bundle], unit_vectors(2, 1))
    [file] = (home / "vectors" / SPACE.name).iterdir()
    file.write_bytes(b"damaged")
    second = index.add([replace(bundle, replace_series=True)], unit_vectors(2, 1))
    assert not set(first) & set(second)
    assert (index.vectors(second) == unit_vectors(2, 1)).all()
    assert index.verify().problems == ()


def identities(bundle: SeriesBundle, count: int) -> frozenset[tuple[str, str]]:
    return frozenset((one.sop_instance_uid, one.pixel_hash) for one in bundle.instances[:count])


def part(bundle: SeriesBundle, count: int, known: int, limit: int) -> SeriesBundle:
    """The first instances of a series that replaces what it knew of, drawn by these limits."""
    drawn = [replace(one, rendering_params={"limits": [0, limit]}) for one in bundle.images[:count]]
    return replace(
        bundle,
        instances=bundle.instances[:count],
        images=tuple(drawn),
        files=bundle.files[:count],
        replace_series=True,
        replaced=identities(bundle, known),
    )


@pytest.mark.parametrize("known", [0, 1])
@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
def test_of_two_runs_the_second_draws_its_own_and_leaves_the_rest(
    index: CaseIndex, known: int, first: int, second: int
) -> None:
    """Each looked at the index before the other committed, and one has all the slices of the other."""
    bundle = make_bundle(1, 3)
    if known:
        index.add([part(bundle, known, 0, 1)], unit_vectors(known, 1))
    index.add([part(bundle, first, known, 10)], unit_vectors(first, 2))
    index.add([part(bundle, second, known, 20)], unit_vectors(second, 3))
    limits = {one.slice_index: one.rendering_params["limits"] for one in index.images_of("2.25.1")}
    assert limits == {place: [0, 20 if place < second else 10] for place in range(3)}
    assert index.info().images == 3
    assert index.verify().problems == ()


def test_slides_beside_new_volumes_are_drawn_anew_in_the_same_transaction(index: CaseIndex) -> None:
    whole = make_bundle(1, 3)
    index.add([part(whole, 1, 0, 1)], unit_vectors(1, 1))
    grown = part(whole, 2, 1, 2)
    beside = replace(
        part(whole, 3, 0, 3),
        instances=whole.instances[2:],
        images=whole.images[2:],
        files=whole.files[2:],
        beside=identities(whole, 1),
    )
    ids = index.add([grown, beside], unit_vectors(3, 2))
    assert sorted(one.image_id for one in index.images_of("2.25.1")) == sorted(ids)
    assert index.verify().problems == ()
