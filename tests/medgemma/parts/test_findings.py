"""Scores of another part of the body are not findings, whoever says which part it is."""

from __future__ import annotations

from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import ImageRecord, InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord
from medsiglip.medgemma.evidence import EvidenceOptions, gather
from medsiglip.medgemma.routing.router import Router
from medsiglip.medgemma.routing.rules import read_rule
from tests.medgemma.parts.studies import add, direction, scores

CHEST = EvidenceOptions(findings=("prompts:chest-xray",))
PHANTOMS = EvidenceOptions(findings=("prompts:phantoms",))


@pytest.mark.parametrize(
    ("looks_like", "header", "region", "scored"),
    [
        ("a radiograph of the chest", {"body_part_examined": "CHEST"}, "chest", True),
        ("a radiograph of the chest", {"body_part_examined": "THORAX"}, "chest", True),
        ("a radiograph of the chest", {"series_description": "Thorax pa"}, "chest", True),
        ("a radiograph of the chest", {}, "chest", True),
        ("a radiograph of the foot", {"body_part_examined": "FOOT"}, "foot", False),
        ("a radiograph of the foot", {"series_description": "Foot ap"}, "foot", False),
        ("a radiograph of the foot", {}, "foot", False),
        ("something else", {"body_part_examined": "CHEST"}, "chest", True),
        ("something else", {}, None, False),
        ("axial CT of the chest", {}, None, False),
    ],
)
def test_a_radiograph_is_scored_as_a_chest_where_it_is_one(
    index: CaseIndex, looks_like: str, header: dict[str, Any], region: str | None, scored: bool
) -> None:
    uid = add(index, 1, looks_like, modality="DX", **header)
    evidence = gather(scores(index), uid, CHEST)
    assert evidence.region == region
    assert evidence.region_conflict is None
    assert bool(evidence.findings) == scored
    assert len(evidence.findings) in (0, 13)
    assert evidence.template == ("chest-xray" if region == "chest" else "radiograph")
    if scored:
        assert evidence.not_scored == ()
        return
    [sentence] = evidence.not_scored
    assert sentence.startswith("The prompt set chest-xray is not scored: it is for the chest, and ")
    assert sentence.endswith("this study shows the foot.") == (region == "foot")
    assert ("body_part in the metadata" in sentence) == (region is None)


@pytest.mark.parametrize(
    ("looks_like", "header", "study"),
    [
        ("a radiograph of the foot", {"body_part_examined": "CHEST"}, {}),
        ("a radiograph of the chest", {"body_part_examined": "FOOT"}, {}),
        ("something else", {"body_part_examined": "CHEST"}, {"study_description": "XR knee"}),
        ("a radiograph of the chest", {"body_part_examined": "CHEST", "series_description": "Foot ap"}, {}),
    ],
)
def test_nothing_is_scored_where_the_witnesses_disagree(
    index: CaseIndex, looks_like: str, header: dict[str, Any], study: dict[str, Any]
) -> None:
    uid = add(index, 1, looks_like, modality="CR", study=study, **header)
    evidence = gather(scores(index), uid, CHEST)
    assert evidence.findings == ()
    assert evidence.region is None
    assert evidence.region_conflict is not None
    assert "nothing is scored" in evidence.region_conflict
    assert len(evidence.not_scored) == 1
    assert evidence.template == "radiograph"


def test_a_chest_ct_shows_no_haemorrhage_and_a_head_ct_no_effusion(index: CaseIndex) -> None:
    chest = add(index, 1, "axial CT of the chest", modality="CT", body_part_examined="CHEST", slices=range(3))
    head = add(index, 2, "axial CT of the head", modality="CT", body_part_examined="BRAIN", slices=range(3))
    found = {
        uid: {one.label for one in gather(scores(index), uid, PHANTOMS).findings} for uid in (chest, head)
    }
    assert found == {chest: {"pleural-effusion", "nodule"}, head: {"haemorrhage"}}


@pytest.mark.parametrize(("age", "scored"), [(5.0, False), (15.0, False), (16.0, True), (None, True)])
def test_adults_findings_are_not_those_of_children(index: CaseIndex, age: float | None, scored: bool) -> None:
    of_age = {"patient_age": age}
    uid = add(index, 1, "a radiograph of the chest", modality="DX", body_part_examined="CHEST", study=of_age)
    evidence = gather(scores(index), uid, CHEST)
    assert bool(evidence.findings) == scored
    assert [("16 years and over" in one) for one in evidence.not_scored] == ([] if scored else [True])


def test_only_the_series_of_the_part_is_scored(index: CaseIndex) -> None:
    """A study of chest and foot has the findings of its chest, and from there."""
    uid = add(index, 1, "a radiograph of the foot", modality="DX", body_part_examined="FOOT")
    index.add(
        [
            SeriesBundle(
                StudyRecord(uid, "patient-1"),
                SeriesRecord(f"{uid}.2", modality="DX", body_part_examined="CHEST"),
                (InstanceRecord(f"{uid}.2.1", "pixels"),),
                (ImageRecord(f"{uid}.2.1", "pixels", 1),),
            )
        ],
        direction("a radiograph of the chest")[None],
    )
    evidence = gather(scores(index), uid, CHEST)
    chest = {image.image_id for image in index.images_of(uid) if image.series_instance_uid == f"{uid}.2"}
    assert {finding.image_id for finding in evidence.findings} == chest


def test_a_score_of_another_part_never_routes_and_the_test_says_why(index: CaseIndex) -> None:
    chest = add(index, 1, "a radiograph of the chest", modality="CR", body_part_examined="LUNG")
    foot = add(index, 2, "a radiograph of the foot", modality="CR", body_part_examined="FOOT")
    child = add(
        index,
        3,
        "a radiograph of the chest",
        modality="CR",
        body_part_examined="CHEST",
        study={"patient_age": 3.0},
    )
    score = {"source": "prompts:chest-xray", "label": "pneumothorax", "at_least": 0.0}
    router = Router(index, scores(index))
    tried = {
        one.study_instance_uid: one
        for one in router.assess(read_rule("all", {"scores": [score]}), [chest, foot, child])
    }
    assert {uid: one.fits for uid, one in tried.items()} == {chest: True, foot: False, child: False}
    reasons = {uid: one.conditions[-1].reason for uid, one in tried.items()}
    assert reasons[chest] is None
    assert "this study shows the foot" in str(reasons[foot])
    assert "16 years and over" in str(reasons[child])
    index.routing_rules.put("all", {"scores": [score]}, enabled=True, priority=0, whole_archive=True)
    assert [one.study_instance_uid for one in router.run()] == [chest]
    # A rule on a part of the body takes every spelling of it.
    of_chest = router.assess(read_rule("chest", {"body_part": ["CHEST"]}), [chest, foot, child])
    assert [one.fits for one in of_chest] == [True, False, True]


def test_similar_cases_are_of_the_same_part(index: CaseIndex) -> None:
    chest = add(index, 1, "a radiograph of the chest", modality="CR", body_part_examined="CHEST")
    for number in range(2, 12):
        add(index, number, "a radiograph of the chest", modality="CR", body_part_examined="FOOT")
    other = add(index, 20, "a radiograph", modality="CR", body_part_examined="THORAX")
    unknown = add(index, 21, "something else", modality="CR")
    similar = gather(scores(index), chest, EvidenceOptions(neighbours=5)).similar
    assert {other, unknown} <= {one.study_instance_uid for one in similar}
    feet = gather(scores(index), add(index, 30, "a radiograph", modality="CR", body_part_examined="FOOT"))
    assert not {chest, other} & {one.study_instance_uid for one in feet.similar}
