"""Limits are those of scikit-learn's curve, judged by rows that had no part in them, with intervals that hold
what the stated limit is worth.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from sklearn.metrics import roc_curve

from medsiglip.errors import ModelError
from medsiglip.figures.operating_points import Rule, chosen_limit, operating_point, shares
from tests.medsiglip.figures.coverage_simulation import Setting, settings
from tests.medsiglip.figures.test_coverage import GOAL, allowed

RULES: tuple[tuple[Rule, float | None], ...] = (("youden", None), ("sensitivity", 0.9), ("specificity", 0.9))


def draw(setting: Setting, rng: np.random.Generator) -> tuple[Any, Any, Any, Any, float]:
    """Whether each row is positive, its score, patient and fold, and how far the classes are apart."""
    codes = setting.codes()
    positive = codes < setting.positive
    apart = float(np.sqrt(2) * ndtri(setting.auroc))
    shared, own = rng.standard_normal(setting.patients), rng.standard_normal(codes.size)
    share = setting.correlation
    scores = np.sqrt(share) * shared[codes] + np.sqrt(1 - share) * own + apart * positive
    fold = np.empty(setting.patients, dtype=np.intp)
    fold[: setting.positive] = rng.permutation(setting.positive) % 5
    rest = setting.patients - setting.positive
    fold[setting.positive :] = (rng.permutation(rest) + setting.positive) % 5
    return positive, scores, codes, fold[codes], apart


@pytest.mark.parametrize("seed", range(20))
def test_limits_are_those_of_the_roc_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    scores = np.round(rng.standard_normal(60) + positive, 1)  # with ties
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)

    def worth(limit: float) -> tuple[float, float]:
        called = scores >= limit
        return float(called[positive].mean()), float((~called[~positive]).mean())

    assert sum(worth(chosen_limit(positive, scores, "youden"))) == pytest.approx((true + 1 - false).max())
    for target in (0.5, 0.9, 1.0):
        sensitivity, specificity = worth(chosen_limit(positive, scores, "sensitivity", target))
        assert specificity == pytest.approx((1 - false)[true >= target - 1e-12].max())
        assert sensitivity >= target
        sensitivity, specificity = worth(chosen_limit(positive, scores, "specificity", target))
        assert sensitivity == pytest.approx(true[1 - false >= target - 1e-12].max())
        assert specificity >= target


def test_rows_have_no_part_in_the_limit_that_they_are_judged_by() -> None:
    setting = Setting(40, 15, 0.8, 0)
    positive, scores, codes, fold, _ = draw(setting, np.random.default_rng(1))
    before = operating_point(positive, scores, codes, fold, "youden")
    changed = np.where(fold == 2, -scores, scores)
    after = operating_point(positive, changed, codes, fold, "youden")
    assert before.of_folds[2] == after.of_folds[2]
    assert before.of_folds != after.of_folds
    assert before.limit == pytest.approx(np.mean(before.of_folds))
    limits = np.array(before.of_folds)[fold]
    assert before.calls.crossed.tolist() == ((scores >= limits) == positive).tolist()
    assert before.shares.sensitivity == pytest.approx((scores >= limits)[positive].mean())
    some = codes < 20
    of_some = shares(positive[some], type(before.calls)(*(one[some] for one in before.calls)), codes[some])
    assert of_some.specificity == pytest.approx((scores < limits)[some & ~positive].mean())


@pytest.mark.parametrize(
    ("rule", "target", "positive", "folds", "code"),
    [
        ("youden", None, [True] * 4, [0, 0, 1, 1], "one-class"),
        ("youden", None, [True, False] * 2, [0, 0, 0, 0], "too-few-folds"),
        ("accuracy", None, [True, False] * 2, [0, 0, 1, 1], "bad-operating-point"),
        ("sensitivity", None, [True, False] * 2, [0, 0, 1, 1], "bad-operating-point"),
        ("specificity", 0.0, [True, False] * 2, [0, 0, 1, 1], "bad-operating-point"),
        ("specificity", 1.1, [True, False] * 2, [0, 0, 1, 1], "bad-operating-point"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    rule: Any, target: float | None, positive: list[bool], folds: list[int], code: str
) -> None:
    with pytest.raises(ModelError) as refused:
        operating_point(np.array(positive), np.arange(4.0), np.arange(4), np.array(folds), rule, target)
    assert refused.value.code == code


def coverage(setting: Setting, replicates: int) -> dict[tuple[str, str], float]:
    """How often intervals of sensitivity and specificity held what the stated limit is worth."""
    rng = np.random.default_rng(setting.seed + 3)
    held: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for _ in range(replicates):
        positive, scores, codes, fold, apart = draw(setting, rng)
        for rule, target in RULES:
            found = operating_point(positive, scores, codes, fold, rule, target)
            true = {"sensitivity": 1 - ndtr(found.limit - apart), "specificity": ndtr(found.limit)}
            for name, value in true.items():
                low, high = getattr(found.shares, f"{name}_interval")
                assert high > low
                held[rule, name].append(low <= value <= high)
    return {key: float(np.mean(values)) for key, values in held.items()}


@pytest.mark.parametrize(
    "setting", [Setting(30, 5, 0.8, 1), Setting(60, 30, 0.7, 0), Setting(200, 5, 0.95, 1)], ids=str
)
def test_intervals_hold_what_the_stated_limit_is_worth(setting: Setting) -> None:
    for name, covered in coverage(setting, 150).items():
        assert covered >= allowed(150), (name, covered)


@pytest.mark.campaign
@pytest.mark.parametrize(
    "setting", list(settings((30, 60, 200), (0.7, 0.8, 0.9, 0.95, 0.99), (1, 0))), ids=str
)
def test_intervals_hold_it_in_every_setting(setting: Setting) -> None:
    found = coverage(setting, 1000)
    print(setting, {" ".join(key): round(value, 3) for key, value in found.items()})
    for name, covered in found.items():
        assert covered >= allowed(1000, GOAL), (name, covered)
