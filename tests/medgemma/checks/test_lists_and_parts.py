"""Lists under a lead-in, tables with columns of sides, parts of findings that are denied, and the past."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Evidence, Finding, PriorStudy

ASKED = (
    "pneumothorax",
    "pleural-effusion",
    "consolidation",
    "nodule",
    "fracture",
    "haemorrhage",
    "atelectasis",
)


def evidence(*, indication: str | None = None, prior: str | None = None, present: bool = True) -> Evidence:
    found = tuple(Finding(one, 0.9 if present else 0.1, present, "prompts:x", 1) for one in ASKED)
    earlier = None if prior is None else PriorStudy("1.2.2", "2024-01-01", prior)
    return Evidence("1.2.3", "s", "DX", "CHEST", "chest-xray", found, indication=indication, prior=earlier)


def polarities(text: str, finding: str) -> set[bool | None]:
    return {check.polarity for check in check_draft(text, evidence()) if check.finding == finding}


@pytest.mark.parametrize(
    ("text", "finding", "expected"),
    [
        ("No evidence of:\n- Pneumothorax\n- Pleural effusion", "pleural-effusion", False),
        ("There is no:\n1. Pneumothorax\n2. Fracture", "pneumothorax", False),
        ("Absent:\n* Consolidation\n* Nodule", "nodule", False),
        ("No evidence of the following: pneumothorax, effusion.", "pneumothorax", False),
        ("Differential diagnosis:\n- Consolidation\n- Atelectasis", "consolidation", None),
        ("Findings:\n- Pneumothorax\n- Pleural effusion", "pneumothorax", True),
        (
            "| Region | Finding | Status |\n|---|---|---|\n| Pleura | Effusion | No |",
            "pleural-effusion",
            False,
        ),
        ("| Finding | Right | Left |\n|---|---|---|\n| Effusion | none | small |", "pleural-effusion", True),
        ("No cavitation within the consolidation.", "consolidation", None),
        ("No displacement of the fracture.", "fracture", None),
        ("No loculation of the pleural effusion.", "pleural-effusion", None),
        ("No recurrence of the pneumothorax.", "pneumothorax", False),
        ("New consolidation not present on prior radiograph.", "consolidation", None),
        ("No focal consolidation, bilateral small effusions.", "pleural-effusion", True),
        ("Pneumothorax is not clearly visualised.", "pneumothorax", False),
        ("Please exclude pneumothorax.", "pneumothorax", None),
    ],
)
def test_what_lists_tables_and_parts_say(text: str, finding: str, expected: bool | None) -> None:
    found = polarities(text, finding)
    assert found - {None} == (set() if expected is None else {expected})


def test_what_is_clear_but_for_a_finding_does_not_contradict_itself() -> None:
    text = "The lungs are clear aside from left basilar atelectasis."
    assert polarities(text, "atelectasis") == {True}


def test_each_side_before_a_colon_speaks_for_itself() -> None:
    text = "Left: no effusion. Right: moderate effusion."
    assert False not in polarities(text, "pleural-effusion")
    assert True in polarities(text, "pleural-effusion")


@pytest.mark.parametrize("heading", ["INDICATION: pneumothorax.", "CLINICAL HISTORY: rule out pneumothorax."])
def test_what_was_asked_is_no_mention_of_a_finding(heading: str) -> None:
    found = review(f"{heading}\nFINDINGS: The heart size is normal.", evidence())
    assert "pneumothorax" in {one.finding for one in found.omissions}


@pytest.mark.parametrize(
    ("text", "indication", "prior"),
    [
        ("There is a small left pleural effusion.", "Right mastectomy 2019, effusion?", None),
        ("There is a left pneumothorax.", "Right IJ line placement, rule out pneumothorax.", None),
        ("The known left effusion is unchanged; new right effusion.", None, "Left pleural effusion."),
        ("FINDINGS: Nodule 4 cm from the hilum.\nIMPRESSION: Nodule of 12 mm.", None, None),
    ],
)
def test_a_side_or_distance_of_something_else_is_not_held_against_a_finding(
    text: str, indication: str | None, prior: str | None
) -> None:
    checks = review(text, evidence(indication=indication, prior=prior)).checks
    assert not {flag for check in checks for flag in check.flags} & {"wrong-side", "wrong-size"}
