"""The same cases in two spaces, on both databases."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import ImageRecord, Level, Space
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

OTHER = Space("0ddba11" * 9, "medsiglip-eval", 8, "other")


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Three studies of two series of two images; the second space lacks the first series of the last."""
    index.activate(SPACE)
    bundles = [
        make_bundle(n, 2, series=series, patient=f"patient-{n}") for n in range(3) for series in range(2)
    ]
    index.add(bundles, unit_vectors(12, 1))
    work = index.reembedding(OTHER)
    ids = work.series(0, 10)
    for place in (5, 3, 0, 1, 2):  # not in the order of the first space, so that ids are not either
        given = [
            (one.image_id, ImageRecord(one.sop_instance_uid, one.pixel_hash, one.frame, None, "voi"))
            for one in work.images(ids[place])
        ]
        work.add(given, unit_vectors(12, 2, 8)[2 * place : 2 * place + 2])
    index.labels.put([LabelRecord("seen", 1.0, "study_instance_uid", "2.25.1")])
    return index


@pytest.mark.parametrize("level", ["image", "series", "study"])
def test_the_rows_are_those_of_the_table_and_the_vectors_those_of_each_space(
    filled: CaseIndex, level: Level
) -> None:
    found = filled.two_spaces.cases((SPACE.name, OTHER.name), level)
    assert found.spaces == (SPACE, OTHER)
    assert found.left_out == 2
    first, second = found.tables
    whole = filled.table(level)
    kept = [row for row, uid in enumerate(whole.ids) if uid in first.ids]
    assert len(whole.ids) - len(kept) == {"image": 2, "series": 1, "study": 0}[level]
    for table in (first, second):
        assert table.ids == tuple(whole.ids[row] for row in kept)
        assert table.patient_keys == tuple(whole.patient_keys[row] for row in kept)
        np.testing.assert_array_equal(table.labels["seen"], whole.labels["seen"][kept])
    images = filled.table("image")
    order = {image_id: row for row, image_id in enumerate(images.image_ids.tolist())}
    for table, sets, vectors in zip(
        found.tables, found.sets, (images.vectors, unit_vectors(12, 2, 8)), strict=True
    ):
        assert len(sets) == len(table.ids)
        for row, vector in enumerate(table.vectors):
            theirs = sets.one(row)
            mean = vectors[[order[image_id] for image_id in theirs.tolist()]].mean(axis=0)
            np.testing.assert_allclose(sets.rows(theirs).mean(axis=0), mean, atol=1e-3)
            np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-3)
    if level == "study":
        assert [len(found.sets[0].one(row)) for row in range(3)] == [4, 4, 2]


def test_filters_choose_the_rows_and_names_are_checked(filled: CaseIndex) -> None:
    found = filled.two_spaces.cases((OTHER.name, OTHER.name), "study", ("label:seen=1",))
    assert found.tables[0].ids == ("2.25.1",)
    np.testing.assert_array_equal(found.tables[0].vectors, found.tables[1].vectors)
    nothing = filled.two_spaces.cases((SPACE.name, OTHER.name), "study", ("modality=XA",))
    assert (nothing.tables[0].ids, nothing.left_out) == ((), 0)
    with pytest.raises(CatalogError, match="no space nowhere") as unknown:
        filled.two_spaces.cases((SPACE.name, "nowhere"))
    assert unknown.value.code == "unknown-space"
