from __future__ import annotations

from string import Formatter

import numpy as np
import pytest

from medsiglip.phantoms.catalogue import ANATOMIES, anatomy
from medsiglip.phantoms.report import caption, read_phrases, report
from medsiglip.phantoms.study import Finding

PHRASES = read_phrases("chest-xray")

PUBLISHED = {
    "pleural-effusion": (
        ["no evidence of pleural effusion", "no acute cardiopulmonary process", "normal study"],
        ["left pleural effusion", "right pleural effusion", "bilateral pleural effusions"],
    ),
    "pneumothorax": (["no pneumothorax", "no acute cardiopulmonary process"], ["apical pneumothorax"]),
    "cardiomegaly": (
        ["heart size is normal", "cardiac size is within normal limits", "no evidence of cardiomegaly"],
        ["mild cardiomegaly", "moderate cardiomegaly", "severe cardiomegaly", "enlarged cardiac silhouette"],
    ),
    "consolidation": (
        ["no focal consolidation", "normal study", "lungs are clear"],
        ["alveolar consolidation", "airspace consolidation", "lobe consolidation", "suggestive of pneumonia"],
    ),
    "nodule": (["no acute cardiopulmonary process"], ["parenchymal lesion"]),
}
"""Zero-shot prompts of the MedGemma Technical Report (tables A2 to A5) for what the phantoms show."""


@pytest.mark.parametrize("name", ANATOMIES)
def test_every_finding_has_wording_and_some_that_needs_no_detail(name: str) -> None:
    phrases = read_phrases(name)
    assert tuple(phrases.present) == tuple(phrases.absent) == anatomy(name).FINDINGS
    assert phrases.view
    assert phrases.normal
    for templates in phrases.present.values():
        fields = [{field for _, field, _, _ in Formatter().parse(text) if field} for text in templates]
        assert set() in fields
        assert set().union(*fields) <= {"side", "severity", "location"}
    for templates in phrases.absent.values():
        assert templates
        assert not any("{" in text for text in templates)


@pytest.mark.parametrize("name", PUBLISHED)
def test_captions_speak_the_published_prompts(name: str) -> None:
    absent, present = PUBLISHED[name]
    rng = np.random.default_rng(0)
    grades = ("mild", "moderate", "severe") if name == "cardiomegaly" else ("small", "moderate", "large")
    sick = [
        caption(rng, PHRASES, [Finding(name, side, severity)])
        for side in ("left", "right", "bilateral")
        for severity in grades
        for _ in range(120)
    ]
    well = [caption(rng, PHRASES, []) for _ in range(1500)]
    for prompt in present:
        assert any(prompt in text for text in sick), prompt
    for prompt in absent:
        assert any(prompt in text for text in well), prompt


def test_a_caption_never_claims_what_is_not_there() -> None:
    rng = np.random.default_rng(1)
    for _ in range(400):
        text = caption(rng, PHRASES, [Finding("nodule", "left", None, "upper zone")])
        assert "right" not in text
        assert "lower" not in text
        assert "no nodule" not in text
        assert "{" not in text
        assert text not in PHRASES.normal


def test_a_report_states_every_finding_with_its_detail_and_denies_the_others() -> None:
    rng = np.random.default_rng(2)
    findings = [Finding("pleural-effusion", "left", "small"), Finding("cardiomegaly", None, "severe")]
    for _ in range(100):
        text = report(rng, PHRASES, findings)
        assert "left" in text.lower()
        assert "small" in text.lower()
        assert "severe" in text.lower()
        sentences = [sentence.strip().lower() for sentence in text.split(". ")]
        for name in ("pneumothorax", "consolidation", "nodule"):
            denials = {phrase.lower() for phrase in PHRASES.absent[name]}
            assert any(sentence.rstrip(".") in denials for sentence in sentences), (name, text)


def test_a_normal_report_denies_everything() -> None:
    text = report(np.random.default_rng(3), PHRASES, [])
    assert text.count(".") == len(PHRASES.absent) + 2


def test_the_same_generator_state_gives_the_same_words() -> None:
    finding = [Finding("consolidation", "right", None, "mid zone")]
    texts = {caption(np.random.default_rng(4), PHRASES, finding) for _ in range(3)}
    assert len(texts) == 1
    many = {caption(np.random.default_rng(seed), PHRASES, finding) for seed in range(60)}
    assert len(many) > 30
