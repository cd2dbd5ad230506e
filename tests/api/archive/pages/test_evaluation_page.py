"""The page of every kind of evaluation: its figures, chance, intervals and warnings, and text as text."""

from __future__ import annotations

from typing import Any

import pytest

from medsiglip.api.archive.pages.evaluation_page import KINDS, evaluation_page

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{1}{2}$"
RANKS = {
    "queries": 7,
    "excluded": 3,
    "precision_at": {"5": 0.4},
    "recall_at": {"5": 0.3},
    "map": 0.6251,
    "chance": 0.085,
    "chance_of": {"precision_at_5": 0.0851, "recall_at_5": 0.2, "map": 0.1452},
    "ci": {"precision_at_5": [0.1, 0.7], "recall_at_5": [None, None], "map": [0.3, 0.8]},
    "reason": None,
}
FIGURES = {"n": 9, "positive": 4, "auroc": 0.7123, "auroc_ci": [0.4, 0.9], "reason": None}
DIFFERENCE = {"figure": "auroc", "label": HOSTILE, "first": 0.9, "second": 0.8, "difference": -0.1}
DIFFERENCE |= {"difference_ci": [-0.3, 0.1234]}
SPACE = {"name": "one", "model": HOSTILE, "profile": "p"}
SHIFT = {"description": "JPEG", "cosine": 0.9876, "cosine_ci": [0.9, 1.0], "cosine_low": 0.5}
SHIFT |= {"labels": [DIFFERENCE]}
CASE = {"id": "1.2", "study_instance_uid": "1.2", "modality": None, "group": "current", "apart": 0.3457}
ANSWERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "retrieval": (
        {"level": "study", "space": "s", **RANKS, "labels": [{"label": HOSTILE, **RANKS}]},
        ("0.625", "0.145", "0.300 to 0.800", "3: nothing relevant"),
    ),
    "zero-shot": (
        {"level": "study", "space": "s", "prompts": HOSTILE, "labels": [{"label": HOSTILE, **FIGURES}]}
        | {"macro_auroc": None, "unlabelled": [HOSTILE]},
        ("0.712", "0.400 to 0.900", "No case that fits", "All of these scores are uncalibrated"),
    ),
    "probe": (
        {"level": "study", "space": "s", "name": "p", "macro_auroc": 0.7, "patients_left_out": 4}
        | {"labels": [{"label": "a", **FIGURES, "auroc": None, "reason": "one class"}]},
        ("a: no figure, one class.", "trained on them"),
    ),
    "comparison": (
        {"kind": "probe", "level": "study", "spaces": [SPACE, SPACE], "cases": 5, "patients": 4}
        | {"left_out": 2, "figures": [DIFFERENCE]},
        ("-0.100", "-0.300 to 0.123", "second less the first"),
    ),
    "drift": (
        {"level": "study", "space": "s", "reference": [HOSTILE], "current": ["b"], "in_both": 1}
        | {"reference_cases": 9, "current_cases": 8, "reference_patients": 7, "current_patients": 6}
        | {"auroc": 0.5, "auroc_ci": [0.3, 0.7], "auroc_p": 0.5, "energy": 0.01, "energy_p": 0.44}
        | {"permutations": 999, "false_alarm": 0.05, "differs": False, "cases": [CASE]}
        | {"modalities": {"reference": {"CR": 9}, "current": {"DX": 8}}},
        ("Nothing shows", "at most 5 %", "0.346", "999 permutations"),
    ),
    "robustness": (
        {"level": "study", "space": "s", "prompts": HOSTILE, "cases": 5, "patients": 4, "images": 6}
        | {"missing": 2, "left_out": 1, "shifts": [SHIFT], "chain": [SHIFT]},
        ("0.988", "arXiv 2603.18545", "not optimised"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_the_figures_and_no_markup_of_users(kind: str) -> None:
    answer, expected = ANSWERS[kind]
    written = evaluation_page(kind, {**answer, "warnings": [HOSTILE]})
    for text in expected:
        assert text in written, text
    assert "<img" not in written
    assert "&lt;img src=x" in written
    assert 'class="note"' in written
    assert "Not a medical device" in written


def test_a_page_tells_the_calibration_error() -> None:
    answer, _ = ANSWERS["zero-shot"]
    judged = {
        **FIGURES,
        "calibrated": True,
        "calibration_error": 0.0312,
        "calibration_error_ci": [0.01, 0.09],
    }
    labels = [{"label": HOSTILE, **judged}, {"label": "b", **FIGURES}]
    written = evaluation_page("zero-shot", {**answer, "labels": labels})
    assert "0.031" in written
    assert "0.010 to 0.090" in written
    assert "other labels are uncalibrated" in written
    assert "All of these" not in written


def test_retrieval_without_figures_says_why() -> None:
    answer, _ = ANSWERS["retrieval"]
    written = evaluation_page("retrieval", {**answer, "reason": "nobody shares it"})
    assert "No figure: nobody shares it" in written
