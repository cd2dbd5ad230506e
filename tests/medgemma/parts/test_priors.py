"""The prior of a study: by anatomy, side and time."""

from __future__ import annotations

from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.evidence import gather
from tests.medgemma.parts.studies import add, scores

CHEST: dict[str, Any] = {"modality": "DX", "body_part_examined": "CHEST", "patient": "p"}
HERE: dict[str, Any] = {"study_date": "2021-05-10", "study_time": "12:00:00"}


@pytest.mark.parametrize(
    ("modality", "there", "here", "is_prior"),
    [
        ("MR", {"body_part_examined": "HEAD"}, {"body_part_examined": "BRAIN"}, True),
        ("MR", {"series_description": "Skull T1"}, {"body_part_examined": "BRAIN"}, True),
        ("CR", {"body_part_examined": "FOOT"}, {"body_part_examined": "CHEST"}, False),
        ("CR", {"body_part_examined": "HAND"}, {}, False),
        ("CR", {}, {}, False),
        ("CR", {"body_part_examined": "TABLE 7"}, {"body_part_examined": "Table 7"}, True),
        (
            "CR",
            {"body_part_examined": "KNEE", "laterality": "L"},
            {"body_part_examined": "KNEE", "laterality": "L"},
            True,
        ),
        (
            "CR",
            {"body_part_examined": "KNEE", "laterality": "R"},
            {"body_part_examined": "KNEE", "laterality": "L"},
            False,
        ),
        ("CR", {"body_part_examined": "KNEE"}, {"body_part_examined": "KNEE", "laterality": "L"}, False),
        ("CR", {"series_description": "Knee both"}, {"series_description": "Left knee"}, True),
        ("CR", {"series_description": "Knee rechts"}, {"series_description": "Left knee"}, False),
        (
            "CR",
            {"body_part_examined": "CHEST", "laterality": "R"},
            {"body_part_examined": "CHEST", "laterality": "L"},
            True,
        ),
        ("CT", {"body_part_examined": "CHESTABDPELVIS"}, {"body_part_examined": "CHEST"}, True),
    ],
)
def test_a_prior_is_of_the_same_part_and_side(
    index: CaseIndex, modality: str, there: dict[str, Any], here: dict[str, Any], is_prior: bool
) -> None:
    prior = add(
        index, 1, "something", patient="p", modality=modality, study={"study_date": "2020-01-01"}, **there
    )
    uid = add(index, 2, "something", patient="p", modality=modality, study=HERE, **here)
    found = gather(scores(index), uid).prior
    assert (None if found is None else found.study_instance_uid) == (prior if is_prior else None)
    assert gather(scores(index), prior).prior is None


@pytest.mark.parametrize(
    ("there", "is_prior"),
    [
        ({"study_date": "2021-05-10", "study_time": "08:30:00"}, True),
        ({"study_date": "2021-05-10", "study_time": "18:30:00"}, False),
        ({"study_date": "2021-05-10"}, True),  # it was added before
        ({"study_date": "2021-05-11"}, False),
        ({}, False),
    ],
)
def test_of_the_same_day_the_earlier_is_the_prior(
    index: CaseIndex, there: dict[str, Any], is_prior: bool
) -> None:
    prior = add(index, 1, "something", study=there, **CHEST)
    uid = add(index, 2, "something", study=HERE, **CHEST)
    found = gather(scores(index), uid).prior
    assert (None if found is None else found.study_instance_uid) == (prior if is_prior else None)


def test_without_times_a_later_addition_is_no_prior(index: CaseIndex) -> None:
    first = add(index, 1, "something", study={"study_date": "2021-05-10"}, **CHEST)
    second = add(index, 2, "something", study={"study_date": "2021-05-10"}, **CHEST)
    assert gather(scores(index), first).prior is None
    found = gather(scores(index), second).prior
    assert found is not None
    assert found.study_instance_uid == first


def test_the_last_of_several_is_taken(index: CaseIndex) -> None:
    add(index, 1, "something", study={"study_date": "2021-05-10", "study_time": "10:00:00"}, **CHEST)
    add(index, 2, "something", study={"study_date": "2021-05-10", "study_time": "09:00:00"}, **CHEST)
    add(index, 3, "something", study={"study_date": "2021-05-09"}, **CHEST)
    found = gather(scores(index), add(index, 4, "something", study=HERE, **CHEST)).prior
    assert found is not None
    assert found.study_instance_uid == "2.25.1"
