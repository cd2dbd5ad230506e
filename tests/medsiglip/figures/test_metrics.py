from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import (
    auprc,
    auroc,
    average_precision,
    estimate_auroc,
    group_codes,
    group_resamples,
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
    estimate = estimate_auroc(unknown, scores, np.arange(200))
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
    estimate = estimate_auroc(labels, scores, list(range(len(labels))))
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


def test_interval_equals_a_bootstrap_done_row_by_row() -> None:
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 12, 60)
    labels, scores = rng.integers(0, 2, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    values = []
    codes = group_codes(groups)
    for drawn in group_resamples(12, 300, seed=5):
        rows = np.concatenate([np.repeat(np.flatnonzero(codes == g), times) for g, times in enumerate(drawn)])
        values.append(roc_auc_score(labels[rows], scores[rows]))
    result = estimate_auroc(labels, scores, groups, resamples=300, seed=5)
    assert result.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert result.interval == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_resamples_are_uniform_draws_of_whole_groups() -> None:
    drawn = group_resamples(40, 4000, seed=0)
    assert (drawn.sum(axis=1) == 40).all()
    # A binomial count of 40 draws at 1/40 has mean 1 and variance 39/40.
    assert drawn.mean(axis=0) == pytest.approx(np.ones(40), abs=0.1)
    assert drawn.var(axis=0).mean() == pytest.approx(39 / 40, rel=0.03)
    assert not np.array_equal(drawn, group_resamples(40, 4000, seed=1))


def test_interval_is_wider_when_rows_of_a_patient_repeat() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100).astype(float)
    scores = labels + rng.normal(size=100)
    repeated, times = np.repeat(labels, 8), np.repeat(scores, 8)
    patients = np.repeat(np.arange(100), 8)
    by_patient = estimate_auroc(repeated, times, patients).interval
    by_row = estimate_auroc(repeated, times, np.arange(800)).interval
    alone = estimate_auroc(labels, scores, np.arange(100)).interval
    assert by_patient == pytest.approx(alone, abs=1e-12)
    assert by_patient[1] - by_patient[0] > 2 * (by_row[1] - by_row[0])


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    truth = 0.7602499389065233  # Phi(1 / sqrt(2)): normal scores one standard deviation apart
    covered = 0
    for _ in range(200):
        labels = np.repeat([0.0, 1.0], 60)
        low, high = estimate_auroc(
            labels, rng.normal(size=120) + labels, np.arange(120), resamples=400
        ).interval
        covered += low <= truth <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_estimate_does_not_depend_on_row_order_and_repeats() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 2, 90).astype(float), rng.normal(size=90)
    groups = np.array([f"p{number}" for number in rng.integers(0, 20, 90)])
    order = rng.permutation(90)
    first = estimate_auroc(labels, scores, groups, seed=3)
    second = estimate_auroc(labels[order], scores[order], groups[order], seed=3)
    assert first.interval == pytest.approx(second.interval, abs=1e-12)
    assert estimate_auroc(labels, scores, groups, seed=4).interval != first.interval


def test_one_group_has_no_interval() -> None:
    estimate = estimate_auroc([0, 1], [0.0, 1.0], ["a", "a"])
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
