"""What to label next: chosen on made-up vectors, and how many labels halve an interval, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.figures.metrics import estimate_scores
from medsiglip.numerics import unit_vectors
from medsiglip.probes.suggesting import least_sure, more_to_halve, suggest
from medsiglip.probes.training_rows import training_rows_hash


def make_vectors(count: int, seed: int = 0) -> np.ndarray:
    return unit_vectors(np.random.default_rng(seed).normal(size=(count, 16))).astype(np.float32)


def test_half_are_uncertain_a_quarter_diverse_and_a_quarter_random() -> None:
    vectors, labelled = make_vectors(400), make_vectors(30, 1)
    unsure = np.random.default_rng(2).random(400)
    picks = suggest(vectors, unsure, np.arange(400), labelled, 20)
    assert [one.reason for one in picks] == ["uncertain"] * 10 + ["diverse"] * 5 + ["random"] * 5
    rows = [one.row for one in picks]
    assert len(set(rows)) == 20
    # Prefiltered: all of the hundred most uncertain, the very first the most uncertain of all.
    assert set(rows[:10]) <= set(np.argsort(-unsure)[:100].tolist())
    assert rows[0] == unsure.argmax()
    # Brute force: each diverse one is the farthest from all labelled and chosen before.
    for place in range(10, 15):
        before = np.concatenate([labelled, vectors[rows[:place]]])
        nearest = (vectors @ before.T).max(axis=1)
        nearest[rows[:place]] = np.inf
        assert rows[place] == nearest.argmin()
        assert picks[place].distance == pytest.approx(1 - nearest.min(), abs=1e-5)


def test_one_of_each_group_and_no_more_than_there_are() -> None:
    vectors, groups = make_vectors(40), np.repeat(np.arange(8), 5)
    picks = suggest(vectors, np.linspace(0, 1, 40), groups, vectors[:0], 20)
    assert len(picks) == 8
    assert len({groups[one.row] for one in picks}) == 8
    assert picks[0].distance is None
    assert picks[1].distance is not None
    assert suggest(vectors[:0], np.empty(0), groups[:0], vectors, 5) == []
    assert [one.reason for one in suggest(vectors, np.ones(40), groups, vectors[:3], 1)] == ["uncertain"]


def test_uncertain_ones_are_unlike_each_other() -> None:
    """Forty copies of the most uncertain picture would teach as much as one."""
    vectors = np.concatenate([np.repeat(make_vectors(1), 40, axis=0), make_vectors(40, 3)])
    unsure = np.concatenate([np.full(40, 0.99), np.full(40, 0.9)])
    picks = suggest(vectors, unsure, np.arange(80), vectors[:0], 12)
    assert sum(one.row < 40 for one in picks if one.reason == "uncertain") == 1


def test_how_unsure_a_probe_is() -> None:
    unsure, label = least_sure(np.array([[0.5, 0.99], [0.0, 0.8], [1.0, 0.0]]), exclusive=False)
    assert unsure == pytest.approx([1.0, 0.4, 0.0])
    assert label[:2].tolist() == [0, 1]
    unsure, label = least_sure(np.array([[0.4, 0.35, 0.25], [0.9, 0.1, 0.0]]), exclusive=True)
    assert unsure == pytest.approx([0.95, 0.2])
    assert label.tolist() == [0, 0]


@pytest.mark.parametrize(("patients", "shift"), [(60, 1.0), (150, 2.0)])
def test_the_interval_halves_with_so_many_more(patients: int, shift: float) -> None:
    rng = np.random.default_rng(patients)

    def width(count: int) -> float:
        truth = (np.arange(count) % 3 == 0).astype(np.float64)
        scores = rng.normal(size=count) + shift * truth
        interval = estimate_scores(truth, scores, np.arange(count), quick=True).auroc.interval
        return interval[1] - interval[0]

    now = np.mean([width(patients) for _ in range(6)])
    later = np.mean([width(patients + more_to_halve(patients)) for _ in range(3)])
    assert 0.4 < later / now < 0.6


def test_the_hash_knows_rows_labels_and_vectors() -> None:
    vectors, labels = (
        make_vectors(4),
        {"x": np.array([1, 0, np.nan, 1]), "y": np.array([0, 1, np.nan, np.nan])},
    )
    ids = ["1.2", "1.3", "1.4", "1.5"]
    whole = training_rows_hash(ids, labels, vectors)
    order = [3, 1, 0, 2]
    moved = {name: values[order] for name, values in reversed(labels.items())}
    assert training_rows_hash([ids[i] for i in order], moved, vectors[order]) == whole
    assert training_rows_hash([*ids[:2], "9", *ids[3:]], labels, vectors) == whole  # it has no label
    other = vectors.copy()
    other[0, 0] += 1e-3
    flipped = {**labels, "x": np.array([1, 1, np.nan, 1])}
    for changed in ((ids, labels, other), (ids, flipped, vectors), (["9", *ids[1:]], labels, vectors)):
        assert training_rows_hash(*changed) != whole
