"""Findings with a high score, and those of the prior report, that a text does not mention."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.records import Evidence, Finding, PriorStudy

SOURCE = "prompts:chest-xray"


def evidence(*present: str, absent: tuple[str, ...] = (), prior: str | None = None) -> Evidence:
    findings = tuple(Finding(label, 0.9, True, SOURCE, 1, calibrated=True) for label in present)
    findings += tuple(Finding(label, 0.1, False, SOURCE, 1) for label in absent)
    before = None if prior is None else PriorStudy("1.2.9", "2023-03-01", prior)
    return Evidence("1.2.3", "space", "DX", "CHEST", "chest-xray", findings, prior=before)


def omitted(text: str, of: Evidence) -> list[str]:
    return [one.finding for one in review(text, of).omissions]


def test_an_omission_has_its_reason_and_score() -> None:
    [scored, prior] = review("The trachea is midline.", evidence("nodule", prior="Cardiomegaly.")).omissions
    assert (scored.finding, scored.reason, scored.source) == ("nodule", "high-score", SOURCE)
    assert (scored.probability, scored.calibrated) == (0.9, True)
    assert (prior.finding, prior.reason, prior.source) == ("cardiomegaly", "prior", "1.2.9")
    assert prior.probability is None


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("pleural-effusion", "Small left pleural effusion."),
        ("pleural-effusion", "Pleural effusion cannot be excluded."),
        ("pleural-effusion", "No pleural effusion."),
        ("pleural-effusion", "No acute cardiopulmonary abnormality."),
        ("consolidation", "There is a lung opacity at the left base."),
        ("consolidation", "Left lower lobe pneumonia."),
        ("lung-opacity", "Consolidation of the right upper lobe."),
        ("cardiomegaly", "The heart is normal in size."),
        ("support-devices", "An endotracheal tube is in place."),
        ("no-finding", "The trachea is midline."),
        ("severe", "The trachea is midline."),
    ],
)
def test_a_finding_that_is_stated_denied_or_left_open_is_not_omitted(label: str, text: str) -> None:
    assert omitted(text, evidence(label)) == []


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("pleural-effusion", "The heart is enlarged."),
        ("lung-opacity", "The heart is enlarged."),
        ("pneumothorax", "INDICATION: cough. FINDINGS: The lungs are clear."),
        ("support-devices", "No acute cardiopulmonary abnormality."),
        ("loose-screw", "The hardware is intact."),
    ],
)
def test_a_finding_that_is_not_named_is_omitted(label: str, text: str) -> None:
    assert omitted(text, evidence(label)) == [label]


def test_scores_that_are_low_or_uncertain_ask_for_nothing() -> None:
    of = evidence(absent=("nodule",))
    unsure = Finding("edema", 0.5, None, SOURCE, 1)
    assert omitted("The trachea is midline.", replace(of, findings=(*of.findings, unsure))) == []


@pytest.mark.parametrize(
    ("prior", "text", "expected"),
    [
        ("Right rib fracture.", "The lungs are clear.", ["fracture"]),
        ("Right rib fracture.", "The rib fracture has healed.", []),
        ("No rib fracture.", "The lungs are clear.", []),
        ("Possible rib fracture.", "The lungs are clear.", []),
        ("INDICATION: rib fracture.\nFINDINGS: Clear lungs.", "The lungs are clear.", []),
        ("Consolidation. Nodule.", "There is pneumonia.", ["nodule"]),
    ],
)
def test_findings_of_the_prior_report(prior: str, text: str, expected: list[str]) -> None:
    assert omitted(text, evidence(prior=prior)) == expected
