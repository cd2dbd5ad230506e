"""Archives drawn from a known population, to see how often intervals hold what they should.

Scores are binormal, with a given share of their variance between patients; a positive patient has only
positive images. Vectors are of two kinds of patients, Gaussian around their patient's. What an interval
should hold is the mean of the figure over all archives that were drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from medsiglip.figures import intervals as of_scores
from medsiglip.figures.metrics import estimate_scores, estimate_threshold
from medsiglip.figures.retrieval import evaluate_retrieval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """`patients`, of whom `positive` have the label; the AUROC of single images; `images` of each patient,
    0 for 1 to 4 at random; the `correlation` of a patient's images.
    """

    patients: int
    positive: int
    auroc: float
    images: int
    correlation: float = 0.5

    @property
    def seed(self) -> int:
        """Of its own, whatever else is simulated."""
        return zlib.crc32(repr(self).encode())

    def codes(self) -> NDArray[np.intp]:
        """The patient of each image."""
        sizes = np.random.default_rng(self.seed).integers(1, 5, self.patients)
        return np.repeat(np.arange(self.patients), np.where(self.images == 0, sizes, self.images))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals of a figure held its `mean`; their mean width, as it is and in shares of the range
    of the central 95 % of the figure; and the smallest width.
    """

    figure: str
    mean: float
    covered: float
    width: float
    ratio: float
    narrowest: float


def settings(
    patients: tuple[int, ...], aurocs: tuple[float, ...], images: tuple[int, ...]
) -> Iterator[Setting]:
    """Every possible combination, with 3, 5, 10, a quarter and half of the patients positive."""
    for n in patients:
        for m, area, each in product(sorted({3, 5, 10, n // 4, n // 2}), aurocs, images):
            if m <= n // 2:
                yield Setting(n, m, area, each)


def quick_coverage(setting: Setting, replicates: int) -> list[Coverage]:
    """Coverage of AUROC and average precision, as quick intervals of folds and subgroups give them."""
    return scores_coverage(setting, replicates, quick=True)[:2]


def scores_coverage(setting: Setting, replicates: int, *, quick: bool = False) -> list[Coverage]:
    """Coverage of AUROC, average precision, sensitivity and specificity, as `estimate_scores` and
    `estimate_threshold` give them; but archives of one setting and correlation share one `score_model`.
    """
    rng = np.random.default_rng(setting.seed + 1)
    codes = setting.codes()
    positive = codes < setting.positive
    labels, patients = positive.astype(float), codes.tolist()
    apart = float(np.sqrt(2) * ndtri(setting.auroc))
    model, known = of_scores.score_model, {}

    def shared_model(positive: Any, codes: Any, correlation: float, *others: Any) -> of_scores.ScoreModel:
        if correlation not in known:
            known[correlation] = model(positive, codes, correlation, *others)
        return known[correlation]

    values, intervals = [], []
    with patch.object(of_scores, "score_model", shared_model):
        for _ in range(replicates):
            shared, own = rng.standard_normal(setting.patients), rng.standard_normal(codes.size)
            share = setting.correlation
            scores = np.sqrt(share) * shared[codes] + np.sqrt(1 - share) * own + apart * positive
            areas = estimate_scores(labels, scores, patients, quick=quick)
            rates = estimate_threshold(labels, scores, patients, limit=apart / 2)
            values.append((areas.auroc.value, areas.auprc.value, rates.sensitivity, rates.specificity))
            of_rates = (rates.sensitivity_interval, rates.specificity_interval)
            intervals.append((areas.auroc.interval, areas.auprc.interval, *of_rates))
    return _summaries(("auroc", "auprc", "sensitivity", "specificity"), values, intervals)


def retrieval_coverage(setting: Setting, replicates: int) -> list[Coverage]:
    """Coverage of precision and recall at 5 and of mAP, of all queries and of those with the label."""
    rng = np.random.default_rng(setting.seed + 2)
    codes = setting.codes()
    labels = [{"rare" if code < setting.positive else "common"} for code in codes]
    kind = (codes < setting.positive).astype(int)
    names = ("precision_at_1", "precision_at_5", "recall_at_5", "map")
    apart = float(np.sqrt(2) * ndtri(setting.auroc))
    values, intervals = [], []
    for _ in range(replicates):
        shared = rng.standard_normal((setting.patients, 16))
        own = rng.standard_normal((codes.size, 16))
        share = setting.correlation
        vectors = np.sqrt(share) * shared[codes] + np.sqrt(1 - share) * own
        vectors[np.arange(codes.size), kind] += apart
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        report = evaluate_retrieval(vectors.astype(np.float32), codes.tolist(), labels)
        found = (report.overall, report.by_label["rare"])
        values.append(
            [
                value
                for one in found
                for value in (one.precision_at[1], one.precision_at[5], one.recall_at[5], one.map)
            ]
        )
        intervals.append([one.ci[name] for one in found for name in names])
    return _summaries(tuple(f"{of}{name}" for of in ("", "rare_") for name in names), values, intervals)


def _summaries(names: tuple[str, ...], values: object, intervals: object) -> list[Coverage]:
    found = np.array(values, dtype=np.float64)
    low, high = np.moveaxis(np.array(intervals, dtype=np.float64), 2, 0)
    means = found.mean(axis=0)
    central = np.quantile(found, 0.975, axis=0) - np.quantile(found, 0.025, axis=0)
    return [
        Coverage(
            name,
            float(means[column]),
            float(((low[:, column] <= means[column]) & (means[column] <= high[:, column])).mean()),
            float((high - low)[:, column].mean()),
            float((high - low)[:, column].mean() / central[column]) if central[column] > 0 else np.inf,
            float((high - low)[:, column].min()),
        )
        for column, name in enumerate(names)
    ]
