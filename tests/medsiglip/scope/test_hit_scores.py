"""Percentiles among hits of comparable questions, against counting."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medsiglip.scope.hit_scores import HitScores


def test_percentiles_are_those_of_counting() -> None:
    draw = np.random.default_rng(1)
    scores = np.sort(draw.normal(0.3, 0.1, size=(150, 14)), axis=1)[:, ::-1]
    hits = HitScores.of(scores.tolist())
    assert hits is not None
    assert hits.questions == 150
    counted = scores[:, :10].ravel()
    for score in np.quantile(counted, [0.02, 0.2, 0.5, 0.77, 0.98]):
        assert hits.percentile(float(score)) == pytest.approx(np.mean(counted <= score), abs=0.006)


def test_nothing_is_better_than_all() -> None:
    hits = HitScores.of([[0.1, 0.2], [0.3]])
    assert hits is not None
    assert hits.percentile(9.0) == 2 / 3
    assert hits.percentile(0.3) == 2 / 3
    assert hits.percentile(0.05) == 0.0
    many = HitScores.of([[0.1 * i] for i in range(5000)])
    assert many is not None
    assert many.percentile(1e6) == 5000 / 5001


def test_equal_scores_have_one_percentile() -> None:
    hits = HitScores.of([[0.5] * 10] * 20 + [[0.9] * 10] * 20)
    assert hits is not None
    assert hits.percentile(0.5) == pytest.approx(0.5, abs=0.01)
    assert hits.percentile(0.49) == 0.0
    assert hits.percentile(0.7) <= hits.percentile(0.9) == 40 / 41


def test_percentiles_rise_with_the_score() -> None:
    draw = np.random.default_rng(2)
    hits = HitScores.of([[float(x)] for x in draw.normal(size=77).round(1)])
    assert hits is not None
    found = [hits.percentile(x) for x in np.linspace(-4, 4, 400)]
    assert found == sorted(found)
    assert min(found) == 0.0
    assert max(found) == 77 / 78


def test_questions_of_what_is_not_there_do_not_count() -> None:
    there, not_there = [[0.4, 0.3]] * 30, [[0.05, 0.04]] * 20
    strange = [0.01 * i for i in range(11)]  # nine of ten score less than 0.09
    hits = HitScores.of([*not_there, *there], strange)
    assert hits is not None
    assert hits.questions == 30
    assert hits.percentile(0.2) == 0.0
    poor = HitScores.of([*not_there, *not_there, *there[:10]], strange)
    assert poor is not None
    assert poor.questions == 25


def test_a_kept_one_is_the_same_and_none_is_none() -> None:
    assert HitScores.of([]) is None
    assert HitScores.of([[], []]) is None
    hits = HitScores.of([[0.1, 0.4], [0.2]])
    assert hits is not None
    again = HitScores.from_json(json.loads(json.dumps(hits.to_json())))
    for score in (0.05, 0.15, 0.3, 0.4):
        assert again.percentile(score) == pytest.approx(hits.percentile(score), abs=1e-6)
    for broken in ({}, {"questions": 3, "quantiles": [1.0]}, {"questions": 3, "quantiles": None}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            HitScores.from_json(broken)
