"""How much each patient counts for figures of retrieval, as query and as neighbour, and their variance.

Patients are queries and database at once: one that is missing changes the mean over queries, and what the
other queries find. The variance is that of the jackknife over patients, to first order in what is removed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medsiglip.figures.intervals import Interval, mean_interval
from medsiglip.figures.metrics import Ranking
from medsiglip.numerics import Floats, Integers

Bools = npt.NDArray[np.bool_]


def removal_effects(ranking: Ranking, relevant: Bools, ks: Sequence[int]) -> Floats:
    """What the figures of all queries [q] gain, in sum, when one of the candidates [n] is taken away.

    [n, 2 K + 1], for precision and recall at each of `ks`, and average precision.

    A query with one relevant candidate has no figure without it, and is left out. Ties count in their order.
    """
    count = relevant.shape[1]
    total = relevant.sum(axis=1, keepdims=True)
    kept = total[:, 0] > 1
    order = ranking.order
    if not kept.all():
        order, relevant, total = order[kept], relevant[kept], total[kept]
    hit = np.take_along_axis(relevant, order, axis=1)
    left = total - 1
    precisions, recalls, beyond = [], [], []
    for k in ks:
        first, then = order[:, :k], hit[:, k : k + 1]
        following = then.astype(np.float64) if then.size else np.zeros((len(order), 1))
        within_k = hit[:, :k].astype(np.float64)
        hits = within_k.sum(axis=1, keepdims=True)
        precisions.append(_by_candidate(first, (following - within_k) / k, count))
        beyond.append(hits / left - hits / total)
        within = np.where(within_k > 0, (hits - 1 + following) / left - hits / total, following / total)
        recalls.append(_by_candidate(first, within - beyond[-1] * within_k, count))
    whole = np.reshape(beyond, (len(ks), -1)) @ relevant.astype(np.float64)
    recalls = [recall + of_all for recall, of_all in zip(recalls, whole, strict=True)]
    return np.stack([*precisions, *recalls, _of_average_precision(order, hit, count)], axis=1)


def _of_average_precision(order: Integers, hit: Bools, count: int) -> Floats:
    """Computed at the hits: what lies between two of them has the same effect."""
    place = np.flatnonzero(hit)
    query, before = np.divmod(place, count)
    total = np.bincount(query, minlength=len(order))
    found = np.arange(1, place.size + 1) - (np.cumsum(total) - total)[query]
    precision = found / (before + 1)
    average = np.bincount(query, weights=precision, minlength=len(order))
    # One place up for each relevant candidate below, with a hit less where the one above was a hit.
    gained = (found / np.maximum(before, 1) - precision) / total[query]
    lost = (found - 1) / np.maximum(before, 1) - precision
    effect = np.zeros(hit.shape)
    effect[:, 0] = np.bincount(query, weights=gained, minlength=len(order))
    effect.flat[place] -= gained
    np.cumsum(effect, axis=1, out=effect)
    above = np.cumsum(lost)
    below = np.cumsum(np.bincount(query, weights=lost, minlength=len(order)))[query] - above
    rest = average[query] - precision + below
    effect.flat[place] = rest / (total[query] - 1) - average[query] / total[query]
    return _by_candidate(order, effect, count)


def _by_candidate(order: Integers, effects: Floats, count: int) -> Floats:
    return np.bincount(order.ravel(), weights=effects.ravel(), minlength=count).astype(np.float64)


def strata(carries: npt.NDArray[np.float32], codes: Integers) -> Integers:
    """A number for each group [g]: the same where the same labels occur among its items [n, L].

    A new archive of the same size has as many patients of each kind.
    """
    of_group = np.zeros((int(codes.max()) + 1, carries.shape[1]), dtype=bool)
    np.logical_or.at(of_group, codes, carries > 0)
    _, number, size = np.unique(of_group, axis=0, return_inverse=True, return_counts=True)
    # Kinds of one patient each say nothing of their variance: they are taken together.
    merged: Integers = np.where(size[number] > 1, number, -1)
    return merged


class QueryFigures(NamedTuple):
    """Figures `values` [q, m] of queries, the most that each could be, `ceilings` [q, m], and the groups of
    the queries, `codes` [q].
    """

    values: Floats
    ceilings: Floats
    codes: Integers


def patient_changes(queries: QueryFigures, effects: Floats, codes: Integers, count: int) -> Floats:
    """What the means over queries gain, to first order, without each of `count` groups: [count, m].

    `effects` [n, m] come from `removal_effects`, and `codes` [n] are the groups of all items.
    """
    asking = np.bincount(queries.codes, minlength=count)
    left = np.maximum(len(queries.values) - asking, 1)
    found = np.zeros((count, queries.values.shape[1]))
    for column, values in enumerate(queries.values.T):
        mean = values.mean() if values.size else 0.0
        as_query = np.bincount(queries.codes, weights=values - mean, minlength=count)
        as_neighbour = np.bincount(codes, weights=effects[:, column], minlength=count)
        found[:, column] = (as_neighbour - as_query) / left
    return found


def figure_intervals(
    queries: QueryFigures, changes: Floats, kinds: Integers, confidence: float
) -> list[Interval]:
    """Intervals of the means over queries; `changes` [g, m] come from `patient_changes`, and `kinds` [g] from
    `strata`.
    """
    patients = np.unique(queries.codes).size
    if patients < 2:
        return [(float("nan"), float("nan"))] * queries.values.shape[1]
    found = []
    for column, ceilings, change in zip(queries.values.T, queries.ceilings.T, changes.T, strict=True):
        mean, most = float(column.mean()), float(ceilings.mean())
        variance, freedom = jackknife(change, kinds)
        share = min(mean / most, 1.0)
        low, high = mean_interval(share, variance / most**2, freedom, patients, confidence)
        found.append((low * most, high * most))
    return found


def jackknife(change: Floats, kinds: Integers) -> tuple[float, float]:
    """Variance of a figure that changes so without each group, and its degrees of freedom (Satterthwaite)."""
    parts, squares = [], 0.0
    for kind in np.unique(kinds):
        of_kind = change[kinds == kind]
        size = len(of_kind)
        deviation = of_kind - of_kind.mean() if size > 1 else of_kind
        part = float((deviation**2).sum()) * (size - 1) / size if size > 1 else float((deviation**2).sum())
        parts.append(part)
        squares += part**2 / max(size - 1, 1)
    variance = sum(parts)
    return variance, variance**2 / squares if squares > 0 else 1.0
