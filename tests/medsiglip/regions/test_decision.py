"""Header, description and look: what agrees is kept, what disagrees is told."""

from __future__ import annotations

import pytest

from medsiglip.regions.decision import SeriesRegion, StudyRegion, written_region


@pytest.mark.parametrize(
    ("modality", "body_part", "series", "study", "regions"),
    [
        ("CR", "CHEST", None, None, {"chest"}),
        ("CR", None, None, "XR foot", {"foot"}),
        ("CR", "EXTREMITY", None, "Distal tibia", {"lower-leg"}),
        ("CT", "ABDOMEN", "5 mm", "CT Thorax Abdomen", {"abdomen"}),
        ("CT", None, "HEAD", "CT head and chest", {"head"}),
        ("MR", "BRAIN", "SKULL", None, {"head"}),
        ("MG", None, "L CC", None, {"breast"}),
        ("CR", None, None, None, set()),
        ("DX", "CHEST", "Face", None, {"chest"}),
        ("DX", "ABDOMEN", "DE PIE", None, {"abdomen"}),
        ("CT", "FOOT", "Body 1.0 Bone", None, {"foot"}),
        ("MR", "LSPINE", None, "NEURO", {"lumbar-spine"}),
        ("DX", "CHEST", None, "Hand-held portable", {"chest"}),
        ("MR", "BRAIN", "MRI ORBITS", None, {"head"}),
        ("US", None, None, "US ABD COMPLETE", {"abdomen"}),
        ("CT", None, None, "CT CHEST/ABD/PEL", {"chest", "abdomen", "pelvis"}),
        ("DX", "SHLDR", None, None, {"shoulder"}),
        ("CT", "ABDPELVIS", None, None, {"abdomen", "pelvis"}),
    ],
)
def test_what_is_written_decides(
    modality: str, body_part: str | None, series: str | None, study: str | None, regions: set[str]
) -> None:
    assert written_region(modality, body_part, series, study) == SeriesRegion(frozenset(regions))


@pytest.mark.parametrize(
    ("modality", "body_part", "description"),
    [
        ("CR", "FOOT", "XR chest"),
        ("CT", "CHEST", "CT head"),
        ("MG", "KNEE", None),
        ("MG", None, "knee"),
        ("DX", "CHEST", "Shoulder left"),
        ("CR", "CHEST", "XR abdomen supine"),
        ("DX", "CHEST", "T-spine 2 views"),
    ],
)
def test_what_is_written_and_disagrees_is_a_conflict(
    modality: str, body_part: str | None, description: str | None
) -> None:
    found = written_region(modality, body_part, None, description)
    assert found.conflict is not None
    assert "nothing is scored" in found.conflict
    assert not found.fitting


def test_a_photograph_is_of_skin_wherever_it_is_from() -> None:
    found = written_region("XC", "ARM", None, None)
    assert {"skin", "forearm"} <= found.fitting
    assert written_region("SM", None, None, None).fitting == {"tissue"}


def test_a_look_decides_where_nothing_is_written_and_contradicts_what_is() -> None:
    chest, foot = frozenset(("chest",)), frozenset(("foot",))
    assert SeriesRegion().with_look(chest).regions == chest
    assert SeriesRegion(chest).with_look(frozenset()).regions == chest
    assert SeriesRegion(chest).with_look(frozenset(("abdomen",))).regions == chest
    contradicted = SeriesRegion(foot).with_look(chest)
    assert contradicted.conflict is not None
    assert not contradicted.fitting
    assert StudyRegion({1: SeriesRegion(chest), 2: contradicted}).conflict == contradicted.conflict
