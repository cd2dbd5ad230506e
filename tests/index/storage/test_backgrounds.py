"""Backgrounds of scores are kept by space and kind, and go with a case or their space."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    for study in range(1, 5):
        modality = {"modality": "CR" if study < 3 else "CT"}
        bundle = make_bundle(study, 3, patient=f"patient-{study}", series_fields=modality)
        index.add([bundle], unit_vectors(3, study))
    return index


def test_the_last_one_of_a_kind_is_kept(filled: CaseIndex) -> None:
    store = filled.backgrounds
    assert store.get(SPACE.name, "text") is None
    first = store.put(SPACE.name, "text", {"images": 12, "content": {"usual": [0.1, -2.5e-9]}})
    assert first == store.get(SPACE.name, "text")
    store.put(SPACE.name, "image", {"images": 12, "content": None})
    second = store.put(SPACE.name, "text", {"images": 13})
    assert first is not None
    assert second is not None
    assert second == store.get(SPACE.name, "text")
    assert second.row_id > first.row_id
    assert second.measured_at >= first.measured_at
    assert store.put("another space", "text", {}) is None
    assert store.get("another space", "text") is None


def test_there_are_at_most_100_kinds(filled: CaseIndex) -> None:
    for number in range(103):
        filled.backgrounds.put(SPACE.name, f"image {number}", {})
    found = [filled.backgrounds.get(SPACE.name, f"image {n}") is not None for n in range(103)]
    assert found == [False] * 3 + [True] * 100


@pytest.mark.parametrize("what", ["study", "patient"])
def test_a_deleted_case_takes_all_with_it(filled: CaseIndex, what: str) -> None:
    filled.backgrounds.put(SPACE.name, "text", {"images": 12})
    if what == "study":
        filled.remove_study("2.25.2")
    else:
        filled.remove_patient("patient-2")
    assert filled.backgrounds.get(SPACE.name, "text") is None


def test_images_are_spread_evenly_over_those_that_pass(filled: CaseIndex) -> None:
    everything = filled.image_sample(100)
    assert len(everything.image_ids) == everything.images == 12
    np.testing.assert_array_equal(everything.vectors, filled.vectors(everything.image_ids.tolist()))
    some = filled.image_sample(4)
    assert some.images == 12
    assert some.image_ids.tolist() == everything.image_ids[::3].tolist()
    radiographs = filled.image_sample(4, ["modality=CR"])
    assert radiographs.images == 6
    assert set(radiographs.image_ids.tolist()) <= set(everything.image_ids[:6].tolist())
    assert len(radiographs.image_ids) == 3
    assert not len(filled.image_sample(4, ["modality=CR", "modality=CT"]).image_ids)
