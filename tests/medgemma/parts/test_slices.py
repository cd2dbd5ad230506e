"""Slices have the number that they have in their series, also where some were left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.evidence import EvidenceOptions, gather, pictures_to_show
from medsiglip.medgemma.pictures_of_study import SliceNumbers
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import build_prompt
from tests.medgemma.parts.studies import add, scores

SAMPLED = [0, 43, 171, 299]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1, 44, 172, 300], [1, 44, 172, 300]),
        ([300, 257, 129, 1], [300, 257, 129, 1]),
        ([None, None, None, None], [1, 44, 172, 300]),
        ([7, 7, 7, 7], [1, 44, 172, 300]),
    ],
)
def test_a_slice_has_its_number_in_the_series(
    index: CaseIndex, numbers: Sequence[int | None], expected: list[int]
) -> None:
    uid = add(
        index, 1, "axial CT of the chest", modality="CT", body_part_examined="CHEST", slices=SAMPLED,
        instance_numbers=numbers,
    )  # fmt: skip
    detail = index.study(uid)
    shown = pictures_to_show(detail, SliceNumbers.of(index, detail))
    assert [one.slice_number for one in shown] == expected
    assert {one.slice_count for one in shown} == {300}
    evidence = gather(scores(index), uid, EvidenceOptions(findings=("prompts:phantoms",)))
    assert {one.slice_number for one in evidence.images} <= set(expected)
    assert {one.slice_count for one in evidence.images} == {300}

    class Pictures:
        def pictures(self, image_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
            return [np.zeros((8, 8, 3), np.uint8)] * len(image_ids)

    prompt = build_prompt(evidence, Pictures(), Budget(), images=shown)
    labels = [part for part in prompt.parts if isinstance(part, str) and part.startswith("SLICE ")]
    assert labels == [f"SLICE {number}" for number in expected]


def test_a_radiograph_has_no_slice_number(index: CaseIndex) -> None:
    uid = add(index, 1, "a radiograph of the chest", modality="DX", body_part_examined="CHEST")
    [image] = gather(scores(index), uid, EvidenceOptions(findings=("prompts:chest-xray",))).images
    assert (image.slice_number, image.slice_count) == (None, None)
