"""Figures of merit for scores and rankings, and their uncertainty.

Labels are 0, 1 or NaN (unknown, left out). Intervals (`intervals.py`) have whole groups (patients) as their
units, because images of one patient are not independent. A figure that is not defined is NaN, and
`undefined_reason` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import FULL, QUICK, ScoreIntervals, rate_interval, score_intervals
from medsiglip.numerics import Floats, Integers

FEW_GROUPS = 10
"""Fewer groups with a label, or without it, are few."""

_ONE_CLASS = "needs both positive and negative rows"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval.

    `n`, `positive` and `groups` count the rows with a known label, the positive ones, and the groups they
    belong to. `reason` says why `value` or `interval` is NaN, and is None when both are numbers.
    """

    value: float
    interval: tuple[float, float]
    n: int
    positive: int
    groups: int
    reason: str | None = None


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve of scores [n] for labels [n]; tied pairs count half. NaN with one class."""
    positive, ranked = _known(labels, scores)
    if undefined_reason(positive) is not None:
        return float("nan")
    order, starts = _runs(ranked)
    above = np.add.reduceat(positive[order].astype(np.float64), starts)
    below = np.add.reduceat((~positive[order]).astype(np.float64), starts)
    return float(above @ (np.cumsum(below) - below / 2) / (above.sum() * below.sum()))


def auprc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision of scores [n] for labels [n]. NaN with one class.

    The precision at each distinct score, weighted by the recall gained there; not interpolated.
    """
    positive, ranked = _known(labels, scores)
    if undefined_reason(positive) is not None:
        return float("nan")
    order, starts = _runs(-ranked)
    gained = np.add.reduceat(positive[order].astype(np.float64), starts)
    found = np.append(starts[1:], positive.size)
    precision = np.cumsum(gained) / found
    return float(np.einsum("b,b->", gained, precision) / gained.sum())


def undefined_reason(labels: npt.ArrayLike) -> str | None:
    """Why AUROC and AUPRC are undefined for these labels, or None where they are defined."""
    known = np.asarray(labels, dtype=np.float64)
    known = known[~np.isnan(known)]
    if known.size == 0:
        return "no row has a label"
    if known.min() == known.max():
        return f"all {known.size} labelled rows are {'positive' if known[0] else 'negative'}; {_ONE_CLASS}"
    return None


@dataclass(frozen=True, slots=True)
class ScoreEstimates:
    """AUROC and average precision of one label. `caution` says what few groups cannot show."""

    auroc: Estimate
    auprc: Estimate
    caution: str | None = None


def estimate_scores(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    quick: bool = False,
) -> ScoreEstimates:
    """AUROC and average precision, with intervals, of scores [n] for labels [n] with a group for each row.

    `quick` intervals, for many parts of an archive, are up to ten times as fast and about a tenth wider.
    Raises ModelError "shape-mismatch", "label-not-binary" or "score-not-a-number".
    """
    positive, ranked, codes = _known_in_groups(labels, scores, groups)
    count = int(codes.max()) + 1 if codes.size else 0
    reason = undefined_reason(positive)
    values = (auroc(positive, ranked), auprc(positive, ranked))
    found = ScoreIntervals((np.nan, np.nan), (np.nan, np.nan), np.nan)
    if reason is None and count < 2:
        reason = "an interval needs at least two groups"
    elif reason is None:
        effort = QUICK if quick else FULL
        found = score_intervals(positive, ranked, codes, values, confidence, seed, effort)
    areas, average = (
        Estimate(value, interval, positive.size, int(positive.sum()), count, reason)
        for value, interval in zip(values, (found.auroc, found.auprc), strict=True)
    )
    return ScoreEstimates(areas, average, _caution(positive, codes, reason, found.auroc_of_perfect))


@dataclass(frozen=True, slots=True)
class ThresholdEstimates:
    """Sensitivity and specificity at a limit, NaN without a row of the class, and their 95 % intervals."""

    sensitivity: float
    sensitivity_interval: tuple[float, float]
    specificity: float
    specificity_interval: tuple[float, float]


def estimate_threshold(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    limit: float = 0.5,
    confidence: float = 0.95,
) -> ThresholdEstimates:
    """Share of positive rows with a score of at least `limit`, and of negative ones with less.

    Raises ModelError as `estimate_scores` does.
    """
    positive, ranked, codes = _known_in_groups(labels, scores, groups)
    right = (ranked >= limit) == positive
    shares = []
    for rows in (positive, ~positive):
        share = float(right[rows].mean()) if rows.any() else float("nan")
        interval = rate_interval(right[rows], codes[rows], confidence) if rows.any() else (np.nan, np.nan)
        shares.append((share, interval))
    return ThresholdEstimates(*shares[0], *shares[1])


def _caution(
    positive: npt.NDArray[np.bool_], codes: Integers, reason: str | None, lowest: float
) -> str | None:
    if reason is not None:
        return None
    few = min((np.unique(codes[positive]).size, "with"), (np.unique(codes[~positive]).size, "without"))
    if few[0] >= FEW_GROUPS:
        return None
    return (
        f"{few[0]} patients {few[1]} the label are few: had all been ranked right, an AUROC of {lowest:.2f} "
        "would still not be ruled out."
    )


def macro(values: Sequence[float]) -> float:
    """Mean of the values that are defined; NaN when none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def group_codes(groups: Sequence[object] | npt.NDArray[Any]) -> Integers:
    """Number groups [n] from 0 in the order of their names, so that the order of rows does not matter.

    A group of None is a group of its own.
    """
    names = [None if group is None else str(group) for group in groups]
    number = {name: code for code, name in enumerate(sorted({name for name in names if name is not None}))}
    codes = np.empty(len(names), dtype=np.intp)
    following = len(number)
    for row, name in enumerate(names):
        if name is None:
            codes[row], following = following, following + 1
        else:
            codes[row] = number[name]
    return codes


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates [q, n] of each query from the highest score to the lowest.

    `order` holds candidate columns; `first` and `last` the positions where a run of equal scores begins and
    ends, so that figures are those expected under a random order of ties. None: no two scores are equal.
    """

    order: Integers
    first: Integers | None
    last: Integers | None


def rank(scores: npt.NDArray[np.floating[Any]]) -> Ranking:
    """Rank candidates by score [q, n]. A candidate that must not be found has a score of -inf."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    differs = (ranked[:, 1:] != ranked[:, :-1]) | np.isneginf(ranked[:, 1:])
    if differs.all():
        return Ranking(order, None, None)
    edge = np.ones((len(scores), 1), dtype=bool)
    positions = np.arange(scores.shape[1])
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), positions, 0), axis=1)
    ends = np.where(np.hstack([differs, edge]), positions, positions[-1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return Ranking(order, first, last)


def precision_at(ranking: Ranking, relevant: npt.NDArray[np.bool_], k: int) -> Floats:
    """Share of relevant candidates among the first k, per query [q]; out of k even where there are fewer."""
    share: Floats = _hits_at(ranking, relevant, k) / k
    return share


def recall_at(ranking: Ranking, relevant: npt.NDArray[np.bool_], k: int) -> Floats:
    """Share of the relevant candidates among the first k, per query [q]; NaN where there are none."""
    return _ratio(_hits_at(ranking, relevant, k), relevant.sum(axis=1))


def average_precision(ranking: Ranking, relevant: npt.NDArray[np.bool_]) -> Floats:
    """Average precision of the whole ranking, per query [q]; NaN with nothing relevant. Its mean is mAP."""
    ranked = np.take_along_axis(relevant, ranking.order, axis=1)
    precision = np.cumsum(ranked, axis=1, dtype=np.float64)
    precision /= np.arange(1, ranked.shape[1] + 1)
    if ranking.last is not None:
        precision = np.take_along_axis(precision, ranking.last, axis=1)
    return _ratio(np.einsum("qn,qn->q", ranked, precision), ranked.sum(axis=1))


def _hits_at(ranking: Ranking, relevant: npt.NDArray[np.bool_], k: int) -> Floats:
    """Relevant candidates among the first k, of a run of ties across k the expected share."""
    k = min(k, relevant.shape[1])
    rows = np.arange(len(relevant))
    first = np.full(len(relevant), k - 1) if ranking.first is None else ranking.first[:, k - 1]
    end = np.full(len(relevant), k) if ranking.last is None else ranking.last[:, k - 1] + 1
    reach = int(end.max(initial=k))
    hits = np.zeros((len(relevant), reach + 1))
    np.cumsum(np.take_along_axis(relevant, ranking.order[:, :reach], axis=1), axis=1, out=hits[:, 1:])
    before, through = hits[rows, first], hits[rows, end]
    expected: Floats = before + (through - before) * ((k - first) / (end - first))
    return expected


def _known(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Floats]:
    values = np.asarray(labels, dtype=np.float64)
    ranked = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.shape != ranked.shape:
        message = f"Labels of shape {values.shape} and scores of shape {ranked.shape} do not go together."
        raise ModelError("shape-mismatch", f"{message} Give one score for each label.")
    known = ~np.isnan(values)
    values, ranked = values[known], ranked[known]
    if not np.isin(values, (0.0, 1.0)).all():
        raise ModelError("label-not-binary", "A label is neither 0, 1 nor empty; correct the label column.")
    if np.isnan(ranked).any():
        raise ModelError("score-not-a-number", "A score is NaN; leave out the rows that could not be scored.")
    return values == 1.0, ranked


def _known_in_groups(
    labels: npt.ArrayLike, scores: npt.ArrayLike, groups: Sequence[object] | npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], Floats, Integers]:
    """As `_known`, with the number of each row's group."""
    positive, ranked = _known(labels, scores)
    known = ~np.isnan(np.asarray(labels, dtype=np.float64))
    codes = group_codes([group for group, keep in zip(groups, known, strict=True) if keep])
    return positive, ranked, codes


def _runs(scores: Floats) -> tuple[Integers, Integers]:
    """Ascending order of the scores, and where each run of equal ones starts in it."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))


def _ratio(numerator: Floats, denominator: npt.NDArray[Any]) -> Floats:
    """Quotient, NaN where the denominator is 0."""
    quotient: Floats = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
