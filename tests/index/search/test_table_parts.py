"""An archive in parts is the archive."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level
from tests.index.index_cases import make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Studies of 3, 1, 4 and 2 images; the first gets its last image after the others."""
    for number, (study, count) in enumerate([(1, 2), (2, 1), (3, 4), (4, 2)]):
        index.add([make_bundle(study, count)], unit_vectors(count, number))
    index.add([make_bundle(1, 1, series=1)], unit_vectors(1, 9))
    index.labels.put([LabelRecord("x", 1, "study_instance_uid", "2.25.3")])
    return index


@pytest.mark.long(every=3)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_the_parts_are_the_table(filled: CaseIndex, is_loaded: bool) -> None:
    if is_loaded:
        filled.search(unit_vectors(1))
    levels: tuple[Level, ...] = ("image", "series", "study")
    for level in levels:
        whole = filled.table(level)
        for most, sizes in ((1, [3, 1, 4, 2]), (4, [4, 4, 2]), (6, [4, 6]), (100, [10])):
            parts = list(filled.table_parts(level, images_at_once=most))
            if level == "image":
                assert [len(part.ids) for part in parts] == sizes
            ids = [one for part in parts for one in part.ids]
            assert sorted(ids) == sorted(whole.ids)
            places = [ids.index(one) for one in whole.ids]
            vectors = np.concatenate([part.vectors for part in parts])[places]
            assert np.allclose(vectors, whole.vectors, atol=1e-6)
            patients = [one for part in parts for one in part.patient_keys]
            assert [patients[place] for place in places] == list(whole.patient_keys)
    [labelled] = [part for part in filled.table_parts(images_at_once=1) if "x" in part.labels]
    assert labelled.study_instance_uids == ("2.25.3",) * 4


def test_filters_and_empty_archives(filled: CaseIndex) -> None:
    where = ["study_instance_uid=2.25.1|2.25.4"]
    assert [part.ids for part in filled.table_parts("study", where, images_at_once=1)] == [
        ("2.25.1",),
        ("2.25.4",),
    ]
    [empty] = filled.table_parts("study", ["modality=US"])
    assert empty.ids == ()
