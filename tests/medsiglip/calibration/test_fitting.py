"""Calibrations of one label against scikit-learn's, against a known truth, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from medsiglip.calibration import assessment
from medsiglip.calibration.assessment import LabelCalibration, calibrate_label
from medsiglip.calibration.calibration import Calibration
from medsiglip.calibration.fitting import fit, fitted, log_loss
from medsiglip.errors import ModelError
from medsiglip.numerics import sigmoid

Floats = NDArray[np.float64]


def cases(n: int, *, slope: float = 0.3, shift: float = -1.0, seed: int = 0) -> tuple[Floats, Floats]:
    """Margins and truth, whose probability is sigmoid(slope * margin + shift)."""
    rng = np.random.default_rng(seed)
    margins = 6 * rng.standard_normal(n)
    return margins, (rng.uniform(size=n) < sigmoid(slope * margins + shift)).astype(float)


def of_scikit_learn(margins: Floats, truth: Floats, method: str) -> Floats:
    """What scikit-learn makes of the same margins."""
    itself = LogisticRegression()
    itself.classes_, itself.coef_, itself.intercept_ = np.array([0, 1]), np.ones((1, 1)), np.zeros(1)
    itself.n_features_in_ = 1
    model = CalibratedClassifierCV(FrozenEstimator(itself), method=method)
    found: Floats = model.fit(margins[:, None], truth).predict_proba(margins[:, None])[:, 1]
    return found


@pytest.mark.parametrize(
    ("method", "theirs", "tolerance"),
    [("platt", "sigmoid", 1e-4), ("temperature", "temperature", 2e-3)],
)
def test_probabilities_are_those_of_scikit_learn(method: str, theirs: str, tolerance: float) -> None:
    margins, truth = cases(1_500)
    ours = fit(margins, truth, np.arange(1_500), method=method).probability(margins)
    np.testing.assert_allclose(ours, of_scikit_learn(margins, truth, theirs), atol=tolerance)


def test_isotonic_probabilities_are_those_of_scikit_learn_but_never_certain() -> None:
    margins, truth = cases(800)
    ours = fit(margins, truth, np.arange(800), method="isotonic").probability(margins)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(margins, truth).predict(margins)
    np.testing.assert_allclose(ours, np.clip(theirs, 1 / 802, 801 / 802), atol=1e-12)
    assert 0 < ours.min() < ours.max() < 1


def test_auto_takes_what_serves_other_patients_best() -> None:
    without_shift = fit(*cases(900, shift=0.0, seed=2), np.arange(900))
    assert without_shift.method in ("temperature", "platt")
    assert without_shift.slope == pytest.approx(0.3, abs=0.05)
    shifted = fit(*cases(400, shift=-2.0), np.arange(400))
    assert shifted.method == "platt"
    assert shifted.intercept == pytest.approx(-2.0, abs=0.4)
    rng = np.random.default_rng(1)
    margins = rng.uniform(-6, 6, 1_500)
    stepped = (rng.uniform(size=1_500) < np.where(margins > 0, 0.7, 0.2)).astype(float)
    assert fit(margins, stepped, np.arange(1_500)).method == "isotonic"
    assert fit(margins[:400], stepped[:400], np.arange(400)).method != "isotonic"


def test_margins_that_separate_do_not_make_certain() -> None:
    margins = np.r_[np.linspace(5, 9, 40), np.linspace(-9, -5, 40)]
    truth = np.repeat([1.0, 0.0], 40)
    found = fit(margins, truth, np.arange(80), method="platt")
    assert 0.9 < found.probability(5.0) < found.probability(9.0) < 0.999
    assert np.isfinite(log_loss(truth, found.probability(margins)))


def test_margins_that_rank_the_wrong_way_say_only_how_frequent_the_label_is() -> None:
    margins, truth = cases(300, slope=-0.5, shift=0.0)
    found = fit(margins, truth, np.arange(300), method="platt")
    np.testing.assert_allclose(found.probability([-9.0, 9.0]), truth.mean())


def test_figures_are_those_of_other_patients() -> None:
    margins, truth = cases(1_200)
    groups = np.arange(1_200) // 2
    truth[::7] = np.nan
    found = calibrate_label(margins, truth, groups, strata={"sex": ["F", "M"] * 600})
    assert found.before is not None
    assert found.after is not None
    assert found.before.value > 0.15 > 0.05 > found.after.value
    assert (found.n, found.positive, found.groups) == (1_028, int(np.nansum(truth)), 600)
    assert found.conformal is not None
    shares = {one.of: one for one in found.conformal.covered}
    assert list(shares) == [
        *("present", "absent", "present, sex F", "absent, sex F", "present, sex M", "absent, sex M")
    ]
    for one in shares.values():
        assert one.interval[0] <= one.value <= one.interval[1]
        assert one.value > 0.85
    total = found.conformal.present + found.conformal.absent + found.conformal.undecided
    assert total == pytest.approx(1.0)


def test_a_calibration_is_kept_as_json() -> None:
    margins, truth = cases(900, seed=5)
    for method in ("temperature", "platt", "isotonic"):
        made = calibrate_label(margins, truth, np.arange(900), method=method, error=0.05)
        kept = LabelCalibration.from_json(json.loads(json.dumps(made.to_json())))
        for margin in (-8.0, -1.0, 0.5, 7.0):
            assert kept.judge(margin) == made.judge(margin)
            assert kept.judge(margin, 0.2) == made.judge(margin, 0.2)
    line = {"method": "platt", "slope": 1.0, "intercept": 0.0}
    points = {"method": "isotonic", "margins": [0.0, 1.0], "rates": [0.2, 0.7]}
    broken: dict[str, Any]
    for broken in (
        {},
        {**line, "method": "cubic"},
        {**line, "slope": float("nan")},
        {**line, "slope": -1.0},
        {**line, "intercept": float("inf")},
        {**points, "margins": [], "rates": []},
        {**points, "margins": [1.0, 0.0]},
        {**points, "margins": [0.0, float("nan")]},
        {**points, "rates": [0.7, 0.2]},
        {**points, "rates": [0.2, 1.5]},
        {**points, "rates": [0.2, float("nan")]},
    ):
        with pytest.raises(ModelError) as refused:
            Calibration.from_json(broken)
        assert refused.value.code == "calibration-unreadable"
    with pytest.raises(ModelError) as refused:
        LabelCalibration.from_json({"calibration": {"method": "platt", "slope": 1, "intercept": 0}})
    assert refused.value.code == "calibration-unreadable"
    whole = made.to_json()
    limits = whole["thresholds"]
    for wrong in ("a", [1], float("nan")):
        present = [wrong, *limits["present"][1:]]
        with pytest.raises(ModelError) as refused:
            LabelCalibration.from_json({**whole, "thresholds": {**limits, "present": present}})
        assert refused.value.code == "calibration-unreadable"


def test_isotonic_regression_is_tried_in_every_fold_or_in_none() -> None:
    """Of 520 patients each fold has 416; its figures are of the method that is kept all the same."""
    rng = np.random.default_rng(1)
    margins = rng.uniform(-6, 6, 520)
    stepped = (rng.uniform(size=520) < np.where(margins > 0, 0.95, 0.05)).astype(float)
    tried: list[str] = []

    def noted(m: Any, t: Any, g: Any, method: Any) -> Calibration:
        tried.append(method)
        return fitted(m, t, g, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assessment, "fitted", noted)
        calibrate_label(margins, stepped, np.arange(520))
    assert tried == ["isotonic"] * 6


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"truth": np.ones(60)}, "one-class-only", "All 60 patients are with the label"),
        ({"truth": np.r_[np.ones(19), np.zeros(41)]}, "too-few-cases", "19 patients with the label and 41"),
        ({"truth": np.full(60, np.nan)}, "too-few-cases", "No case is labelled"),
        ({"truth": np.full(60, 0.5)}, "label-not-binary", "neither 0, 1"),
        ({"margins": np.full(60, np.nan)}, "margin-not-finite", "60 of the cases"),
        ({"margins": np.zeros(59)}, "shape-mismatch", "do not go together"),
        ({"groups": np.arange(60) // 4}, "too-few-cases", "at least 20 of each"),
        ({"method": "cubic"}, "bad-method", "cubic"),
        ({"error": 0.07}, "bad-error-bound", "0.07"),
        ({"error": 0.02}, "too-few-cases", "at least 49 of each"),
        ({"method": "isotonic"}, "too-few-cases", "60 labelled patients: isotonic regression takes 500"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(changed: dict[str, object], code: str, words: str) -> None:
    given: dict[str, Any] = {
        "margins": np.linspace(-3, 3, 60),
        "truth": np.tile([0.0, 1.0], 30),
        "groups": np.arange(60),
        **changed,
    }
    with pytest.raises(ModelError, match=words) as refused:
        calibrate_label(**given)
    assert refused.value.code == code
