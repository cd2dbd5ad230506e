"""Sides, sizes and numbers of sentences, compared with what is known; and names of people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsiglip.medgemma.checks.persons import persons_in
from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.records import Evidence, EvidenceImage, EvidenceSeries, PriorStudy

CHEST = Evidence(
    "1.2.3",
    "space",
    "DX",
    "CHEST",
    "chest-xray",
    prior=PriorStudy(
        "1.2.9", "2023-03-01", "Small left pleural effusion. Nodule of 8 mm. Two rib fractures."
    ),
    study_date="2024-05-12",
    patient_age=60.4,
    series=(EvidenceSeries("1.2.3.1", 1, 1, "DX", "PA"), EvidenceSeries("1.2.3.2", 1, 1, "DX", "LATERAL")),
)
VOLUME = replace(
    CHEST,
    modality="CT",
    prior=None,
    images=(EvidenceImage(1, "1.2.3.1.1", "1.2.3.1", 1, "CT", slice_number=172, slice_count=300),),
    series=(EvidenceSeries("1.2.3.1", 85, 85, "CT"),),
)
LEFT_KNEE = replace(
    CHEST, body_part_examined="KNEE", series=(EvidenceSeries("1.2.3.1", 1, 1, "DX", None, "L"),)
)


def attributes(text: str, of: Evidence = CHEST, unaided: str | None = None) -> list[tuple[str, str, str]]:
    """Each attribute as (kind, words, verdict), once, whatever the number of checks of its sentence."""
    found = review(text, of, unaided=unaided).checks
    for check in found:
        for one in check.attributes:
            assert text[one.start : one.end] == one.text
            assert (one.known is None) == (one.verdict == "not-checkable")
            flag = f"wrong-{one.kind}"
            assert one.verdict != "contradict" or flag in check.flags
    ordered = sorted({(one.start, one.kind, one.text, one.verdict) for c in found for one in c.attributes})
    return [(kind, words, verdict) for _, kind, words, verdict in ordered]


@pytest.mark.parametrize(
    ("text", "words", "verdict"),
    [
        ("Unchanged left pleural effusion.", "left", "agree"),
        ("The right pleural effusion persists.", "right", "contradict"),
        ("Stable bilateral effusions.", "bilateral", "contradict"),
        ("New right pleural effusion.", "right", "not-checkable"),
        ("The effusion on the right is unchanged.", "right", "contradict"),
        ("| Pleural effusion | right | unchanged |", "right", "contradict"),
        ("Unchanged right pleural efusion.", "right", "contradict"),
        ("No interval change in the right pleural effusion.", "right", "contradict"),
        ("Unchanged left rib fractures.", "left", "not-checkable"),
        ("Opacity in the left middle lobe.", "left", "contradict"),
        ("Opacity in the right lingula.", "right", "contradict"),
        ("Opacity in the right middle lobe.", "right", "not-checkable"),
    ],
)
def test_sides_against_anatomy_and_prior(text: str, words: str, verdict: str) -> None:
    assert attributes(text) == [("side", words, verdict)]


def test_sides_against_the_header() -> None:
    assert attributes("Fracture of the right patella.", LEFT_KNEE) == [("side", "right", "contradict")]
    assert attributes("Fracture of the left patella.", LEFT_KNEE) == [("side", "left", "agree")]
    assert attributes("Less than on the right.", LEFT_KNEE) == [("side", "right", "not-checkable")]
    chest = replace(LEFT_KNEE, body_part_examined="CHEST")  # a left lateral view has no side of its own
    assert attributes("Right pneumothorax.", chest) == [("side", "Right", "not-checkable")]
    both = (*LEFT_KNEE.series, EvidenceSeries("1.2.3.2", 1, 1, "DX", None, "R"))
    assert attributes("Right knee effusion.", replace(LEFT_KNEE, series=both))[0][2] == "not-checkable"


def test_sides_against_the_indication_and_the_second_reply() -> None:
    wrist = replace(CHEST, body_part_examined="WRIST", indication="Fall on the left wrist")
    assert attributes("Right radius fracture.", wrist) == [("side", "Right", "contradict")]
    known = replace(CHEST, prior=None, indication="Known left pneumothorax")
    assert attributes("Small right pneumothorax.", known) == [("side", "right", "contradict")]
    assert attributes("Right pleural effusion.", known) == [("side", "Right", "not-checkable")]
    assert attributes("Right effusion.", VOLUME, "Left effusion.") == [("side", "Right", "contradict")]
    assert attributes("Right effusion.", VOLUME, "Both sides have an effusion.")[0][2] == "agree"


@pytest.mark.parametrize(
    ("impression", "verdict"),
    [
        ("Left effusion.", "agree"),
        ("Right effusion.", "contradict"),
        ("Bilateral effusions.", "contradict"),
        ("Left pneumonia.", "contradict"),  # which the consolidation stands for
        ("No right effusion.", "not-checkable"),
        ("Right pneumothorax.", "not-checkable"),
    ],
)
def test_sides_against_the_findings(impression: str, verdict: str) -> None:
    text = f"FINDINGS:\nLeft effusion. Right lower lobe consolidation.\nIMPRESSION:\n{impression}"
    assert attributes(text, VOLUME)[-1][2] == verdict


def test_headings_are_read_as_generators_write_them() -> None:
    for heading in ("## {}", "**{}**", "**{}:**", "{}:", "{}"):
        findings, impression = heading.format("Findings"), heading.format("Impression")
        text = f"{findings}\n- **Pleura:** Left effusion.\n\n{impression}\n- Right effusion."
        assert attributes(text, VOLUME)[-1] == ("side", "Right", "contradict"), heading


def test_a_side_belongs_to_its_finding() -> None:
    body = "FINDINGS:\nLeft effusion and right basal atelectasis. Nodule in the right apex.\n"
    good = f"{body}IMPRESSION:\nAtelectasis on the right, and a left effusion; right nodule."
    assert {verdict for _, _, verdict in attributes(good, VOLUME)[3:]} == {"agree"}
    bad = f"{body}IMPRESSION:\nAtelectasis on the left, and a right effusion."
    assert [verdict for _, _, verdict in attributes(bad, VOLUME)[3:]] == ["contradict"] * 2
    shift = "FINDINGS:\nLeft pneumothorax with shift to the right.\nIMPRESSION:\nLeft pneumothorax."
    assert [verdict for _, _, verdict in attributes(shift, VOLUME)] == ["not-checkable", "agree"]


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("FINDINGS: Nodule of 3 cm. \nIMPRESSION: 3 mm nodule.", ["not-checkable", "contradict"]),
        ("FINDINGS: Nodule of 2.4 x 1.8 cm. \nIMPRESSION: 24 mm nodule.", ["not-checkable", "agree"]),
        ("FINDINGS: Nodule of 24 mm. \nIMPRESSION: 2 cm nodule.", ["not-checkable", "agree"]),
        ("Unchanged nodule of 8 mm.", ["agree"]),
        ("Unchanged nodule of 8 cm.", ["contradict"]),
        ("Nodule, now 12 mm, previously 8 mm.", ["not-checkable", "agree"]),
        ("Nodule, now 12 mm, previously 3 mm.", ["not-checkable", "contradict"]),
        ("The tube ends 3 cm above the carina.", ["not-checkable"]),
    ],
)
def test_sizes(text: str, verdicts: list[str]) -> None:
    found = [one for one in attributes(text) if one[0] == "size"]
    assert [verdict for _, _, verdict in found] == verdicts


@pytest.mark.parametrize(
    ("text", "of", "verdicts"),
    [
        ("Lesion on slice 120.", VOLUME, ["agree"]),
        ("Lesion on slices 290-310.", VOLUME, ["contradict"]),
        ("Lesion on image 1200.", VOLUME, ["contradict"]),
        ("Seen on slice 0.", VOLUME, ["contradict"]),
        ("Seen on image 3.", CHEST, ["contradict"]),
        ("Two views of the chest.", CHEST, ["agree"]),
        ("Three views of the chest.", CHEST, ["contradict"]),
        ("Seen on one view only.", CHEST, ["agree"]),
        ("A 60-year-old patient.", CHEST, ["agree"]),
        ("A 16-year-old patient.", CHEST, ["contradict"]),
        ("Compared with the radiograph of 1 March 2023.", CHEST, ["agree"]),
        ("Compared with the radiograph of 03/01/2023.", CHEST, ["agree"]),
        ("Compared with the radiograph of 2019-03-01.", CHEST, ["contradict"]),
        ("Surgery on 1 March 2019.", CHEST, ["not-checkable"]),
        ("Unchanged three rib fractures.", CHEST, ["contradict"]),
        ("Unchanged two rib fractures.", CHEST, ["agree"]),
        ("FINDINGS: Two nodules. \nIMPRESSION: Three nodules.", CHEST, ["not-checkable", "contradict"]),
        ("FINDINGS: Fracture of T8. \nIMPRESSION: T9 fracture.", CHEST, ["not-checkable", "contradict"]),
        ("T2 hyperintense lesion.", VOLUME, []),
    ],
)
def test_numbers(text: str, of: Evidence, verdicts: list[str]) -> None:
    found = [one for one in attributes(text, of) if one[0] == "number"]
    assert [verdict for _, _, verdict in found] == verdicts


@pytest.mark.parametrize(
    "text",
    [
        "Mrs. Vexelmann has clear lungs.",
        "Discussed with Dr. Krommel.",
        "Patient: Quirinia Vexelmann.",
        "VEXELMANN^QUIRINIA is well.",
        "DOB 01/02/1950.",
        "Born on 3 May 1950.",
        "MRN 7731904.",
        "The patient Quirinia Vexelmann is well.",
    ],
)
def test_names_and_numbers_of_people(text: str) -> None:
    assert persons_in(text)
    assert all("other-patient" in check.flags for check in review(text, CHEST).checks[:1])


@pytest.mark.parametrize(
    "text",
    [
        "Swan-Ganz catheter in the right pulmonary artery.",
        "Patient: 60 years, male.",
        "The patient has Kerley B lines.",
        "A newborn with clear lungs.",
        "Ghon complex; Hodgkin disease is known.",
        "Image 3 of series 12.",
    ],
)
def test_eponyms_and_numbers_are_nobodys(text: str) -> None:
    assert persons_in(text) == ()
