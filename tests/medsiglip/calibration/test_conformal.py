"""Prediction sets against MAPIE's, and how often they hold the truth, by simulation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from medsiglip.calibration.applied import CLASSES, Calibrations
from medsiglip.calibration.class_calibration import ClassCalibration, calibrate_classes
from medsiglip.calibration.conformal import (
    ERRORS,
    Thresholds,
    decision,
    known_error,
    patients_needed,
    thresholds,
)
from medsiglip.errors import ModelError

Floats = NDArray[np.float64]


def drawn(
    rng: np.random.Generator, patients: int, images: int = 1
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Margins, truth and patients, whose images have margins in common."""
    codes = np.repeat(np.arange(patients), images)
    truth = (np.arange(patients) % 3 == 0).astype(float)[codes]
    margins = 1.5 * truth + rng.standard_normal(patients)[codes] + 0.5 * rng.standard_normal(codes.size)
    return margins, truth, codes


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_thresholds_are_those_of_mapie_within_a_class(value: float) -> None:
    margins, truth, codes = drawn(np.random.default_rng(0), 200)
    found = thresholds(margins, truth, codes)
    rows = truth == value
    itself = LogisticRegression()
    itself.classes_, itself.coef_, itself.intercept_ = np.array([0, 1]), np.ones((1, 1)), np.zeros(1)
    enough = [error for error in ERRORS if rows.sum() >= patients_needed(error)]
    theirs = SplitConformalClassifier(itself, confidence_level=[1 - error for error in enough])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # only one class is given
        theirs.conformalize(margins[rows, None], truth[rows])
        sets = theirs.predict_set(margins[:, None])[1]
    for place, error in enumerate(enough):
        limit = (found.present if value else found.absent)[ERRORS.index(error)]
        assert limit is not None
        ours = margins >= limit if value else margins <= limit
        np.testing.assert_array_equal(ours, sets[:, int(value), place])


@pytest.mark.parametrize(("images", "strata"), [(1, False), (4, False), (1, True)])
def test_sets_hold_the_truth_of_new_patients(images: int, strata: bool) -> None:
    rng = np.random.default_rng(7)
    held: dict[tuple[float, float], list[float]] = {}
    for _ in range(200):
        margins, truth, codes = drawn(rng, 120, images)
        sexes = ["F" if code % 2 else "M" for code in codes]
        found = thresholds(margins, truth, codes, {"sex": sexes} if strata else None)
        new, right, _ = drawn(rng, 200, images)
        for error in (0.05, 0.1, 0.3):
            place = ERRORS.index(error)
            present, absent = found.present[place], found.absent[place]
            if present is not None and absent is not None:
                held.setdefault((error, 1.0), []).append(float((new[right == 1] >= present).mean()))
                held.setdefault((error, 0.0), []).append(float((new[right == 0] <= absent).mean()))
    assert len(held) == 6
    for (error, _), shares in held.items():
        spread = float(np.std(shares)) / len(shares) ** 0.5
        assert np.mean(shares) >= 1 - error - 4 * spread
        if not strata:
            assert np.mean(shares) <= 1 - error + 0.03 + 4 * spread


def test_strata_that_differ_each_hold_their_bound() -> None:
    """Margins of one stratum lie lower: a threshold for both together would miss three times the share."""
    rng = np.random.default_rng(3)
    missed: dict[str, list[float]] = {"own": [], "together": []}
    for _ in range(100):
        margins, truth, codes = drawn(rng, 240)
        low = rng.uniform(size=240) < 0.3
        margins -= 1.2 * low
        strata = {"modality": np.where(low, "CR", "CT").tolist()}
        new, right, _ = drawn(rng, 240)
        new = new[right == 1] - 1.2
        for name, given in (("own", strata), ("together", None)):
            limit = thresholds(margins, truth, codes, given).present[ERRORS.index(0.1)]
            assert limit is not None
            missed[name].append(float((new < limit).mean()))
    assert np.mean(missed["own"]) <= 0.11
    assert np.mean(missed["together"]) > 0.2


def test_too_few_patients_have_no_threshold() -> None:
    assert [patients_needed(error) for error in (0.01, 0.05, 0.1, 0.3)] == [99, 19, 9, 3]
    margins, truth = np.arange(28.0), np.r_[np.zeros(19), np.ones(9)]
    found = thresholds(margins, truth, np.arange(28))
    assert [one is not None for one in found.present] == [error >= 0.1 for error in ERRORS]
    assert [one is not None for one in found.absent] == [error >= 0.05 for error in ERRORS]
    assert found.sides(30.0, 0.05, 0.9) is None


def test_answers_are_three() -> None:
    place = ERRORS.index(0.1)
    limits: list[float | None] = [None] * len(ERRORS)
    overlapping = Thresholds(
        (*limits[:place], -1.0, *limits[place + 1 :]),
        (*limits[:place], 2.0, *limits[place + 1 :]),
    )
    found = [overlapping.sides(margin, 0.1, 0.5) for margin in (-2.0, 0.0, 3.0)]
    assert found == [("absent",), ("present", "absent"), ("present",)]
    assert [decision(one or ()) for one in found] == ["absent", "undecided", "present"]
    apart = Thresholds(overlapping.absent, overlapping.present)
    assert apart.sides(1.0, 0.1, 0.8) == ("present",)
    assert apart.sides(1.0, 0.1, 0.2) == ("absent",)
    assert Thresholds.from_json(overlapping.to_json()) == overlapping
    with pytest.raises(ModelError) as refused:
        known_error(0.123)
    assert refused.value.code == "bad-error-bound"


def classes(rng: np.random.Generator, n: int, scale: float = 12.0) -> tuple[Floats, NDArray[np.intp]]:
    right = rng.integers(0, 4, n)
    logits: Floats = scale * (0.6 * np.eye(4)[right] + 0.5 * rng.standard_normal((n, 4)))
    return logits, right


def test_sets_of_classes_hold_the_right_one() -> None:
    rng = np.random.default_rng(11)
    held = []
    for _ in range(12):
        made = calibrate_classes("abcd", *classes(rng, 160), np.arange(160), method="temperature")
        logits, right = classes(rng, 200)
        sets = [made.possible(row) or () for row in logits]
        held.append(np.mean(["abcd"[one] in found for one, found in zip(right, sets, strict=True)]))
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)


def test_probabilities_of_classes_are_calibrated() -> None:
    rng = np.random.default_rng(12)
    logits, right = classes(rng, 1_000)
    made = calibrate_classes("abcd", logits, right, np.arange(1_000))
    assert made.before is not None
    assert made.after is not None
    assert made.before.value > 0.1 > 0.05 > made.after.value
    np.testing.assert_allclose(made.probability(logits).sum(axis=1), 1.0)
    # The best slope of this model is known: the logits' own, over scale and variance.
    assert made.slopes[0] == pytest.approx(0.6 / 0.25 / 12, rel=0.15)
    kept = ClassCalibration.from_json(made.to_json())
    assert [kept.possible(row) for row in logits[:20]] == [made.possible(row) for row in logits[:20]]
    whole = made.to_json()
    changes: list[dict[str, Any]] = [{"slopes": [1.0]}, {"shifts": [0.0] * 3}, {"labels": ["a"]}]
    changes += [
        {"slopes": [float("nan")] * 4},
        {"thresholds": ["x"] * len(ERRORS)},
        {"set_slope": float("inf")},
    ]
    for change in changes:
        with pytest.raises(ModelError) as refused:
            ClassCalibration.from_json({**whole, **change})
        assert refused.value.code == "calibration-unreadable", change
    stored = {CLASSES: {"fingerprint": "", "calibration": whole}}
    assert Calibrations.of_classes(tuple("abcd"), stored, "").classes is not None
    with pytest.raises(ModelError, match="of other classes"):
        Calibrations.of_classes(tuple("abdc"), stored, "")
    one_sided = logits + np.array([0.0, 9.0, 0.0, 0.0])
    shifted = calibrate_classes("abcd", one_sided, right, np.arange(1_000))
    assert shifted.method == "vector"
    assert shifted.after is not None
    assert shifted.after.value < 0.05


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"n": 30}, "too-few-cases"),
        ({"right": np.zeros(100, np.intp)}, "one-class-only"),
        ({"logits": np.full((100, 4), np.nan)}, "margin-not-finite"),
        ({"method": "isotonic"}, "bad-method"),
        ({"method": "vector", "right": np.r_[np.zeros(90, np.intp), np.ones(10, np.intp)]}, "too-few-cases"),
        ({"error": 0.01}, "too-few-cases"),
        ({"logits": np.zeros((100, 3))}, "shape-mismatch"),
        ({"right": np.full(100, 4, np.intp)}, "shape-mismatch"),
        ({"groups": np.arange(99)}, "shape-mismatch"),
    ],
)
def test_classes_that_cannot_be_calibrated_are_refused(changed: dict[str, Any], code: str) -> None:
    logits, right = classes(np.random.default_rng(1), changed.get("n", 100))
    logits, right = changed.get("logits", logits), changed.get("right", right)
    options = {name: changed[name] for name in ("method", "error") if name in changed}
    with pytest.raises(ModelError) as refused:
        calibrate_classes("abcd", logits, right, changed.get("groups", np.arange(len(right))), **options)
    assert refused.value.code == code
