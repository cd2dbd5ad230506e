"""Intervals that hold the value of a figure over new archives of the same size, 95 times of 100.

Patients are the unit: an archive of the same size has as many patients of each kind, with as many images.

AUROC and average precision are inverted: the interval holds the expected figure of each population under
which the figure that was found lies in the central 95 %. In these populations the scores of both classes are
normal, after some monotone change, with equal variance. (Newcombe, Statistics in Medicine 25, 2006, part 2,
inverts a formula for the variance of another such model, as if the figure were normal.) The correlation of a
patient's images is estimated. A bootstrap covers 54 to 86 % where a class has few patients or the figure is
near 1, because it never draws what it has not seen; here no interval has zero width.

Shares and means have the interval of a binomial count that is worth their variance between patients.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, ndtri, stdtrit

from medsiglip.numerics import Floats, Integers

Interval = tuple[float, float]
Bools = npt.NDArray[np.bool_]

_SEPARATIONS = np.linspace(-7.0, 7.0, 57)
_MOST_A_GROUP = 8
_APART = 64.0
# Of what has exactly the chance that was found, a half counts in a mid-P interval, which holds .92 at least
# of small counts, and all in Clopper and Pearson's, which holds .95 but is wide. Three quarters hold .937.
_HALF, _MOST = 0.5, 0.75
_ROWS_DRAWN, _SCORES_DRAWN = 400_000, 10_000_000
_SCORES_AT_ONCE = 2_000_000


class Effort(NamedTuple):
    """How many archives are simulated, at least and at most, and up to how many rows of a class they are."""

    archives: tuple[int, int]
    most_of_a_class: int


FULL = Effort((500, 2_000), 500)
QUICK = Effort((200, 200), 100)
"""Ten times as fast, for many parts of an archive, and about a tenth wider: the fewer the archives, the more
uncertain the limits of their central 95 %, which are taken farther out.
"""


class ScoreIntervals(NamedTuple):
    """Intervals of AUROC and average precision, and the lower limits that figures of 1 would have had."""

    auroc: Interval
    auprc: Interval
    auroc_of_perfect: float


class ScoreModel(NamedTuple):
    """Mean, and limits of the central part, of AUROC and average precision in archives whose classes are
    `_SEPARATIONS` standard deviations apart: [57, 2] each.
    """

    low: Floats
    mean: Floats
    high: Floats


def score_intervals(
    positive: Bools,
    scores: Floats,
    codes: Integers,
    values: tuple[float, float],
    confidence: float,
    seed: int,
    effort: Effort = FULL,
) -> ScoreIntervals:
    """Intervals of AUROC and average precision, whose values are given, for rows [n] of both classes.

    `codes` [n] number the groups from 0. Where both classes have more rows than `effort` says, 500, the
    variance between groups is taken from the rows themselves.
    """
    if min(positive.sum(), (~positive).sum()) > effort.most_of_a_class:
        found = [
            (value, *_variance(given, positive, codes))
            for value, given in zip(values, row_influence(positive, scores), strict=True)
        ]
        auroc, auprc = (mean_interval(*one, confidence) for one in found)
        _, _, freedom, groups = found[0]
        return ScoreIntervals(auroc, auprc, mean_interval(1.0, 0.0, freedom, groups, confidence)[0])
    correlation = within_group_correlation(positive, scores, codes)
    model = score_model(positive, codes, correlation, confidence, seed, effort)
    return inverted(model, values)


def inverted(model: ScoreModel, values: tuple[float, float]) -> ScoreIntervals:
    """The intervals of these values of AUROC and average precision under a model."""
    auroc, auprc = (_inverted(model, figure, value) for figure, value in enumerate(values))
    return ScoreIntervals(auroc, auprc, _inverted(model, 0, 1.0)[0])


def within_group_correlation(positive: Bools, scores: Floats, codes: Integers) -> float:
    """Intraclass correlation (one-way analysis of variance) of the normal scores of a group's rows, without
    what the class explains; 1 where no group has several rows.

    Too low a correlation gives too narrow an interval: it is that of one standard error more (Fisher's
    formula), in full tenths.
    """
    rows, groups = positive.size, int(codes.max()) + 1
    ranked = ndtri((_ranks(scores) - 0.5) / rows)
    for rows_of_class in (positive, ~positive):
        ranked[rows_of_class] -= ranked[rows_of_class].mean()
    size = np.bincount(codes)
    between = float((np.bincount(codes, weights=ranked) ** 2 / size).sum())
    within = float((ranked**2).sum()) - between
    freedom = rows - groups
    if freedom == 0 or groups < 3:
        return 1.0
    typical = (rows - (size**2).sum() / rows) / (groups - 1)
    mean_between, mean_within = between / (groups - 2), within / freedom
    total = mean_between + (typical - 1) * mean_within
    if total < 1e-12:
        return 1.0
    found = float(np.clip((mean_between - mean_within) / total, 0.0, 1.0))
    many = max(typical * (typical - 1) * (groups - 1), 1e-12)
    error = (1 - found) * (1 + (typical - 1) * found) * np.sqrt(2 / many)
    return float(np.ceil(10 * min(found + error, 1.0)) / 10)


def mean_interval(value: float, variance: float, freedom: float, groups: int, confidence: float) -> Interval:
    """The mid-P interval of a mean of values between 0 and 1, for the count whose binomial variance this is.

    The count is made smaller for the degrees of freedom of the variance (Korn and Graubard, Survey
    Methodology 24, 1998). An estimated variance can be small by chance: the count is at most 8 a group, and
    that of the groups where the variance says nothing (a value of 0 or 1).
    """
    count = float(groups)
    if variance > 0 and 0 < value < 1:
        tail = (1 + confidence) / 2
        worth = value * (1 - value) / variance
        count = min(worth * float(ndtri(tail) / stdtrit(freedom, tail)) ** 2, _MOST_A_GROUP * groups)
    return _share(value * count, (1 - value) * count, (1 - confidence) / 2, _HALF)


def _share(hits: float, misses: float, tail: float, as_many: float) -> Interval:
    """The shares under which so many hits, or fewer, have this chance, and so many, or more; of what has
    exactly so many, this part counts (a half: Lancaster, JASA 56, 1961). Numbers need not be whole.
    """

    def beyond(share: float, exactly: float) -> float:
        """The chance of more hits, and of as many this part."""
        more = float(betainc(hits + 1, misses, share)) if misses > 0 else 0.0
        at_least = float(betainc(hits, misses + 1, share)) if hits > 0 else 1.0
        return (1 - exactly) * more + exactly * at_least

    low = 0.0 if hits <= 0 else float(brentq(lambda share: beyond(share, as_many) - tail, 0.0, 1.0))
    high = 1.0
    if misses > 0:
        high = float(brentq(lambda share: 1 - beyond(share, 1 - as_many) - tail, 0.0, 1.0))
    return low, high


def rate_interval(hits: Bools, codes: Integers, confidence: float) -> Interval:
    """The interval of the share of rows [n] that are hits, for the count that their variance between groups
    is worth, less for its degrees of freedom. It is worth the groups at least (Kish's number), and the rows
    at most.
    """
    value, size = float(hits.mean()), np.bincount(codes)
    size = size[size > 0]
    groups, rows, tail = size.size, hits.size, (1 + confidence) / 2
    least = rows**2 / float((size**2).sum())
    variance = float((np.bincount(codes, weights=hits - value) ** 2).sum()) / rows**2
    count = least
    if variance > 0 and groups > 1:
        worth = value * (1 - value) / variance * (groups - 1) / groups
        if rows > groups:
            worth *= float(ndtri(tail) / stdtrit(groups - 1, tail)) ** 2
        count = float(np.clip(worth, least, rows))
    return _share(value * count, (1 - value) * count, (1 - confidence) / 2, _MOST)


def _ranks(scores: Floats) -> Floats:
    """Ranks from 1; equal scores share their mean."""
    _, place, times = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    shared: Floats = (last - (times - 1) / 2)[place].astype(np.float64)
    return shared


def score_model(
    positive: Bools,
    codes: Integers,
    correlation: float,
    confidence: float,
    seed: int,
    effort: Effort = FULL,
) -> ScoreModel:
    """The spread of both figures at each of `_SEPARATIONS`, in archives with these rows and groups.

    All separations share their random numbers, so that figures and their quantiles rise with them. The order
    of rows does not matter. Few archives are drawn at once, so that memory grows with the rows alone. The
    limits are farther out than `confidence` says, by the standard error of a share of the archives drawn.
    """
    in_order = np.lexsort((positive, codes))
    positive, codes = positive[in_order], codes[in_order]
    rows, fewer = positive.size, int(min(positive.sum(), (~positive).sum()))
    replicates = int(np.clip(min(_ROWS_DRAWN // fewer, _SCORES_DRAWN // rows), *effort.archives))
    at_once = max(1, _SCORES_AT_ONCE // rows)
    rng = np.random.default_rng(seed)
    figures = np.empty((len(_SEPARATIONS), 2, replicates))
    for start in range(0, replicates, at_once):
        count = min(at_once, replicates - start)
        own = rng.standard_normal((count, rows))
        own *= np.sqrt(1 - correlation)
        own += np.sqrt(correlation) * rng.standard_normal((count, int(codes.max()) + 1))[:, codes]
        figures[:, :, start : start + count] = _figures_apart(own[:, positive], own[:, ~positive])
    tail = (1 - confidence) / 2
    tail = max(tail - np.sqrt(tail * (1 - tail) / replicates), 0.0)
    low, high = np.quantile(figures, (tail, 1 - tail), axis=2)
    return ScoreModel(low, figures.mean(axis=2), high)


def _figures_apart(positive: Floats, negative: Floats) -> Floats:
    """AUROC and average precision, [57, 2, r], of r archives with these scores [r, m] and [r, k], when
    `_SEPARATIONS` are added to those of the positive rows.
    """
    many, others = positive.shape[1], negative.shape[1]
    # Each archive lies in a range of its own, so that one search serves all of them.
    offset = _APART * np.arange(len(positive))[:, None]
    found = np.empty((len(_SEPARATIONS), 2, len(positive)))
    if many <= others:
        sought = -np.sort(-positive, axis=1) + offset
        within = (np.sort(negative, axis=1) + offset).ravel()
        place = np.arange(1, many + 1)
        ends = others * np.arange(1, len(positive) + 1)[:, None]
        for step, apart in enumerate(_SEPARATIONS):
            above = ends - np.searchsorted(within, sought + apart)
            found[step] = 1 - above.mean(axis=1) / others, (place / (place + above)).mean(axis=1)
        return found
    sought = -np.sort(-negative, axis=1) + offset
    within = (np.sort(positive, axis=1) + offset).ravel()
    place = np.arange(1, others + 1)
    ends = many * np.arange(1, len(positive) + 1)[:, None]
    # Between two negatives the precision is j / (j + place): its sum is one of harmonic numbers.
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, many + others + 1)))
    last = np.full((len(positive), 1), many)
    for step, apart in enumerate(_SEPARATIONS):
        above = ends - np.searchsorted(within, sought - apart, side="right")
        until = np.concatenate([above[:, 1:], last], axis=1)
        lost = (place * (harmonic[until + place] - harmonic[above + place])).sum(axis=1)
        found[step] = above.mean(axis=1) / many, 1 - lost / many
    return found


def _inverted(model: ScoreModel, figure: int, value: float) -> Interval:
    """The expected figures of the populations that make `value` neither too high nor too low."""
    low_limit, mean, high_limit = (limit[:, figure] for limit in model)
    last = len(_SEPARATIONS) - 1
    above = _first(high_limit >= value - 1e-12)
    low = mean[min(above, last)]
    if 0 < above <= last:
        low = _between(value, high_limit, mean, above)
    beyond = _first(low_limit > value + 1e-12)
    high = 1.0 if beyond > last else _between(value, low_limit, mean, max(beyond, 1))
    return min(float(low), value), max(float(high), value)


def _between(value: float, limit: Floats, mean: Floats, step: int) -> float:
    """The expected figure where a limit passes `value`, between this separation and the one before."""
    start, end = limit[step - 1], limit[step]
    share = float(np.clip((value - start) / (end - start), 0.0, 1.0)) if end > start else 1.0
    return float(mean[step - 1] + share * (mean[step] - mean[step - 1]))


def _first(holds: Bools) -> int:
    """The first separation for which this holds; their number if there is none."""
    return int(np.argmax(holds)) if holds.any() else holds.size


def row_influence(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """How much each row adds to AUROC, and to average precision, beyond the mean: both [n], of sum 0."""
    many, others = int(positive.sum()), int((~positive).sum())
    ranks, within = _ranks(scores), np.empty(scores.size)
    for rows in (positive, ~positive):
        within[rows] = _ranks(scores[rows])
    beaten = np.where(positive, (ranks - within) / others, 1 - (ranks - within) / many)
    auroc = (beaten - beaten[positive].mean()) / np.where(positive, many, others)
    order = np.argsort(-scores, kind="stable")
    hit = positive[order].astype(np.float64)
    found = np.cumsum(hit)
    precision = found / np.arange(1, hit.size + 1)
    # A row changes the precision at each positive row below it; both sums are over these.
    gained = hit * (1 - precision) / np.arange(1, hit.size + 1)
    lost = hit * precision / np.arange(1, hit.size + 1)
    below = [total - np.cumsum(part) for part, total in ((gained, gained.sum()), (lost, lost.sum()))]
    average = float((hit * precision).sum() / many)
    auprc = np.empty(hit.size)
    auprc[order] = (hit * (precision - average + below[0]) - (1 - hit) * below[1]) / many
    return auroc, auprc


def _variance(contributions: Floats, positive: Bools, codes: Integers) -> tuple[float, float, int]:
    """The variance between groups of the sum of contributions, its degrees of freedom, and the groups of the
    smaller class.
    """
    sums = np.bincount(codes, weights=contributions)
    groups = sums.size
    fewer = min(np.unique(codes[rows]).size for rows in (positive, ~positive))
    return float((sums**2).sum()) * groups / max(groups - 1, 1), max(fewer - 1.0, 1.0), fewer
