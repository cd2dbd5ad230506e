from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import average_precision_score, roc_auc_score

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import rate_interval
from medsiglip.figures.metrics import (
    auprc,
    auroc,
    average_precision,
    estimate_scores,
    group_codes,
    macro,
    precision_at,
    rank,
    recall_at,
    undefined_reason,
)

scored_labels = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(scored_labels)
@settings(deadline=None)
def test_areas_equal_scikit_learn_with_many_ties(rows: Any) -> None:
    labels, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros(50),
        np.r_[np.zeros(25), np.ones(25)],
        np.linspace(0, 1e-12, 50),
        np.r_[np.full(25, -np.inf), np.full(25, np.inf)],
        np.r_[1e300, np.zeros(49)],
        np.arange(50) % 3,
    ],
    ids=["constant", "two-values", "close", "infinite", "huge", "three-values"],
)
@pytest.mark.parametrize("positive", [[0], [49], [0, 1, 2], list(range(25)), list(range(25, 50))])
def test_areas_equal_scikit_learn_on_adversarial_scores(scores: Any, positive: Any) -> None:
    labels = np.zeros(50)
    labels[positive] = 1
    # scikit-learn refuses infinite scores; their ranks say the same.
    finite = np.unique(scores, return_inverse=True)[1]
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, finite), abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, finite), abs=1e-12)


def test_unknown_labels_are_left_out() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 200).astype(float), rng.normal(size=200)
    unknown = labels.copy()
    unknown[::3] = np.nan
    known = ~np.isnan(unknown)
    assert auroc(unknown, scores) == pytest.approx(roc_auc_score(labels[known], scores[known]), abs=1e-12)
    estimate = estimate_scores(unknown, scores, np.arange(200)).auroc
    assert (estimate.n, estimate.positive, estimate.groups) == (133, int(labels[known].sum()), 133)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "no row has a label"),
        ([np.nan, np.nan], "no row has a label"),
        ([1, 1, np.nan], "all 2 labelled rows are positive"),
        ([0, 0, 0], "all 3 labelled rows are negative"),
    ],
)
def test_one_class_is_nan_with_a_reason(labels: Any, reason: Any) -> None:
    scores = np.arange(len(labels), dtype=float)
    assert math.isnan(auroc(labels, scores))
    assert math.isnan(auprc(labels, scores))
    estimate = estimate_scores(labels, scores, list(range(len(labels)))).auroc
    assert math.isnan(estimate.value)
    assert all(math.isnan(end) for end in estimate.interval)
    assert estimate.reason is not None
    assert estimate.reason.startswith(reason)
    assert undefined_reason(labels) == estimate.reason


@pytest.mark.parametrize(
    ("labels", "scores", "code"),
    [
        ([0, 1], [0.1], "shape-mismatch"),
        ([0, 2], [0.1, 0.2], "label-not-binary"),
        ([0, 1], [0.1, np.nan], "score-not-a-number"),
    ],
)
def test_bad_input_is_named(labels: Any, scores: Any, code: Any) -> None:
    with pytest.raises(ModelError) as caught:
        auroc(labels, scores)
    assert caught.value.code == code


def test_shares_of_independent_rows_have_the_interval_of_a_count() -> None:
    """At a limit, more hits (or fewer), and three quarters of exactly so many, have a chance of 2.5 %."""
    for hits, rows in ((31, 40), (2, 3), (1, 12)):
        low, high = rate_interval(np.arange(rows) < hits, np.arange(rows), 0.95)
        for limit, tail in ((low, binom.sf(hits, rows, low)), (high, binom.cdf(hits - 1, rows, high))):
            assert tail + 0.75 * binom.pmf(hits, rows, limit) == pytest.approx(0.025, abs=1e-9), (hits, rows)
    low, high = rate_interval(np.ones(10, dtype=bool), np.arange(10), 0.95)
    assert high == 1.0
    assert 0.75 * low**10 == pytest.approx(0.025, abs=1e-9)


@pytest.mark.parametrize("rows", [3, 4, 5, 7, 10, 15, 20, 30, 60, 100, 150])
def test_shares_of_independent_rows_are_covered_whatever_they_are(rows: int) -> None:
    """Exactly, from the chance of each number of hits. A mid-P interval holds .92 at least."""
    shares, hits = np.linspace(0.005, 0.995, 397), np.arange(rows + 1)
    limits = np.array([rate_interval(np.arange(rows) < count, np.arange(rows), 0.95) for count in hits])
    held = (limits[:, :1] <= shares) & (shares <= limits[:, 1:])
    covered = (binom.pmf(hits[:, None], rows, shares) * held).sum(axis=0)
    assert covered.min() >= 0.93
    assert covered.mean() <= 0.995


def test_large_samples_have_the_variance_of_delong() -> None:
    """Of both classes: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988."""
    rng = np.random.default_rng(2)
    labels = np.r_[np.ones(1500), np.zeros(4500)]
    scores = rng.normal(size=6000) + labels
    positive, negative = np.sort(scores[:1500]), np.sort(scores[1500:])
    area = roc_auc_score(labels, scores)
    of_positive = np.searchsorted(negative, scores[:1500]) / 4500
    of_negative = 1 - np.searchsorted(positive, scores[1500:]) / 1500
    error = math.sqrt(of_positive.var(ddof=1) / 1500 + of_negative.var(ddof=1) / 4500)
    low, high = estimate_scores(labels, scores, np.arange(6000)).auroc.interval
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.01)
    assert (high + low) / 2 == pytest.approx(area, abs=1e-3)


def test_the_influence_of_rows_on_average_precision_is_what_leaving_them_out_changes() -> None:
    from medsiglip.figures.intervals import row_influence

    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, 300).astype(bool)
    scores = rng.normal(size=300) + labels
    whole = (roc_auc_score(labels, scores), average_precision_score(labels, scores))
    found = row_influence(labels, scores)
    for column, figure in enumerate((roc_auc_score, average_precision_score)):
        for row in range(0, 300, 7):
            rest = np.arange(300) != row
            change = whole[column] - figure(labels[rest], scores[rest])
            assert found[column][row] == pytest.approx(change, abs=3e-4)


@pytest.mark.long
def test_interval_is_wider_when_rows_of_a_patient_repeat() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100).astype(float)
    scores = labels + rng.normal(size=100)
    repeated, times = np.repeat(labels, 8), np.repeat(scores, 8)
    patients = np.repeat(np.arange(100), 8)

    def interval(rows: Any, of: Any, groups: Any) -> Any:
        """The mean of four, since each is simulated."""
        each = [estimate_scores(rows, of, groups, seed=seed).auroc.interval for seed in range(4)]
        return np.mean(each, axis=0)

    by_patient = interval(repeated, times, patients)
    by_row = interval(repeated, times, np.arange(800))
    alone = interval(labels, scores, np.arange(100))
    assert by_patient == pytest.approx(alone, abs=0.01)  # the correlation is estimated
    assert by_patient[1] - by_patient[0] > 2 * (by_row[1] - by_row[0])


def test_estimate_does_not_depend_on_row_order_and_repeats() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 2, 90).astype(float), rng.normal(size=90)
    groups = np.array([f"p{number}" for number in rng.integers(0, 20, 90)])
    order = rng.permutation(90)
    first = estimate_scores(labels, scores, groups, seed=3).auroc
    second = estimate_scores(labels[order], scores[order], groups[order], seed=3).auroc
    assert first.interval == pytest.approx(second.interval, abs=1e-12)
    assert estimate_scores(labels, scores, groups, seed=4).auroc.interval != first.interval


@pytest.mark.parametrize(("many", "others"), [(3, 9), (9, 3), (6, 6), (1, 4), (4, 1)])
def test_archives_that_are_drawn_have_the_figures_of_their_scores(many: int, others: int) -> None:
    from medsiglip.figures.intervals import _SEPARATIONS, _figures_apart

    rng = np.random.default_rng(10)
    positive, negative = rng.normal(size=(4, many)), rng.normal(size=(4, others))
    found = _figures_apart(positive, negative)
    labels = np.arange(many + others) < many
    for step in (0, 25, 28, 31, 56):
        for row in range(4):
            scores = np.append(positive[row] + _SEPARATIONS[step], negative[row])
            areas = [roc_auc_score(labels, scores), average_precision_score(labels, scores)]
            assert found[step, :, row] == pytest.approx(areas, abs=1e-12)


@pytest.mark.parametrize(("positive", "images"), [(5, 1), (9, 60)])
def test_a_caution_is_of_figures_of_one(positive: int, images: int) -> None:
    """What could still be, had all been ranked right; in samples of every size."""
    patients = np.arange(5400) // images
    labels = (patients < positive).astype(float)
    scores = np.random.default_rng(9).normal(size=5400) + labels
    caution = estimate_scores(labels, scores, patients).caution
    perfect = estimate_scores(labels, labels, patients)
    assert caution is not None
    assert caution == perfect.caution
    assert f"AUROC of {perfect.auroc.interval[0]:.2f} would still" in caution


def test_one_group_has_no_interval() -> None:
    estimate = estimate_scores([0, 1], [0.0, 1.0], ["a", "a"]).auroc
    assert estimate.value == 1.0
    assert math.isnan(estimate.interval[0])
    assert estimate.reason == "an interval needs at least two groups"


def test_group_codes_follow_names_and_none_is_a_group_of_its_own() -> None:
    assert group_codes(["b", None, "a", "b", None]).tolist() == [1, 2, 0, 1, 3]


def test_macro_leaves_out_what_is_undefined() -> None:
    assert macro([0.5, float("nan"), 1.0]) == 0.75
    assert math.isnan(macro([float("nan")]))


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_ranked_figures_are_expectations_over_random_order_of_ties(k: Any, rows: Any, seed: Any) -> None:
    relevant = np.array([[label for label, _ in rows]])
    scores = np.array([[float(score) for _, score in rows]], dtype=np.float32)
    rng = np.random.default_rng(seed)
    orders = np.array([np.lexsort((rng.random(6), -scores[0])) for _ in range(600)])
    hits = relevant[0][orders[:, :k]].sum(axis=1)
    ranking = rank(scores)
    assert precision_at(ranking, relevant, k)[0] == pytest.approx(hits.mean() / k, abs=0.13)
    if relevant.any():
        assert recall_at(ranking, relevant, k)[0] == pytest.approx(hits.mean() / relevant.sum(), abs=0.13)
        truth = average_precision_score(relevant[0], scores[0])
        assert average_precision(ranking, relevant)[0] == pytest.approx(truth, abs=1e-12)
    else:
        assert math.isnan(recall_at(ranking, relevant, k)[0])
        assert math.isnan(average_precision(ranking, relevant)[0])


def test_precision_shares_out_a_run_of_ties_across_k() -> None:
    relevant = np.array([[True, True, False, False, True]])
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]])
    ranking = rank(scores)
    assert precision_at(ranking, relevant, 2)[0] == pytest.approx((1 + 1 / 3) / 2)
    assert recall_at(ranking, relevant, 3)[0] == pytest.approx((1 + 2 / 3) / 3)
    assert precision_at(ranking, relevant, 10)[0] == pytest.approx(3 / 10)
