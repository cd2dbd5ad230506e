"""Expected calibration error: how far predicted probabilities lie from the rates that are observed.

Bins hold equally many rows, and rows of equal probability are never torn apart. The sum over bins of their
share times |observed rate - mean prediction| is too large on average, because noise counts as error; it is
corrected as by Kumar, Liang and Ma ("Verified uncertainty calibration", NeurIPS 2019, the debiased estimator
of the l1 error), whose normal errors here have the variance between patients. Roelofs et al. ("Mitigating
bias in calibration error estimation", AISTATS 2022) found equal-mass bins less biased than bins of equal
width. What is estimated is the error of the bins: finer than a bin, nothing is seen.

The interval inverts the uncorrected sum: it holds the errors under which a sum such as the one that was found
lies in the central 95 %, be the error spread over all bins, as it was found, or in one bin alone. A bootstrap
does not cover here, for its sums are larger than the one that it resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import Bools, Interval, rate_interval
from medsiglip.figures.metrics import group_codes
from medsiglip.numerics import Floats, Integers

FEWEST_GROUPS = 20
"""With fewer patients there is no figure."""

_MOST_BINS, _GROUPS_A_BIN = 10, 20
_DRAWS, _HALVINGS = 2_000, 40


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The rows whose probability lies from `low` to `high`: how many, of how many patients, how many of them
    positive, the mean probability, and the observed rate with its interval.
    """

    low: float
    high: float
    n: int
    groups: int
    positive: int
    predicted: float
    observed: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """`value` is corrected for its bias and at least 0, `uncorrected` is the plain sum over `bins`.

    `n` and `groups` count the rows with a known label, and their patients. `reason` says why `value` and
    `interval` are NaN, and is None when they are numbers.
    """

    value: float
    interval: Interval
    uncorrected: float
    n: int
    groups: int
    bins: tuple[ReliabilityBin, ...]
    reason: str | None = None


def calibration_error(
    truth: npt.ArrayLike,
    probability: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    bins: int = _MOST_BINS,
    confidence: float = 0.95,
) -> CalibrationError:
    """The expected calibration error of probabilities [n], 0 to 1, for labels [n] of 0, 1 or NaN (not known,
    left out), with the patient of each row; and the bins of a reliability diagram.

    There are at most `bins` bins, and at least 20 patients for each. Raises ModelError "shape-mismatch",
    "label-not-binary" or "score-not-a-number".
    """
    values, predicted = np.asarray(truth, np.float64), np.asarray(probability, np.float64)
    _check(values, predicted, len(groups))
    known = ~np.isnan(values)
    positive, predicted = values[known] == 1.0, predicted[known]
    codes = group_codes([group for group, keep in zip(groups, known, strict=True) if keep])
    count = int(codes.max()) + 1 if codes.size else 0
    if not codes.size:
        nothing = (np.nan, np.nan)
        return CalibrationError(np.nan, nothing, np.nan, 0, 0, (), "no row has a label")
    places = equal_mass_bins(predicted, int(np.clip(count // _GROUPS_A_BIN, 1, bins)))
    diagram = tuple(
        _reliability(positive[rows], predicted[rows], codes[rows], confidence)
        for rows in (places == place for place in range(int(places.max()) + 1))
    )
    errors = _BinErrors.of(positive, predicted, codes, places)
    found = float(np.abs(errors.mean).sum())
    if count < FEWEST_GROUPS:
        reason = f"{count} patients are too few for a calibration error; it takes {FEWEST_GROUPS}"
        return CalibrationError(np.nan, (np.nan, np.nan), found, codes.size, count, diagram, reason)
    value = max(0.0, 2 * found - float(_folded_mean(errors.mean, errors.deviation).sum()))
    low, high = _inverted(errors, found, confidence)
    interval = (min(low, value), min(max(high, value), 1.0))
    return CalibrationError(value, interval, found, codes.size, count, diagram)


def equal_mass_bins(probability: Floats, bins: int) -> Integers:
    """The bin [n], from 0, of each probability [n]: equally many rows in each, as far as equal probabilities,
    which stay together, allow.
    """
    order = np.argsort(probability, kind="stable")
    ranked = probability[order]
    first = np.searchsorted(ranked, ranked, side="left")
    last = np.searchsorted(ranked, ranked, side="right") - 1
    wanted = ((first + last) // 2) * bins // ranked.size
    places = np.empty(ranked.size, dtype=np.intp)
    places[order] = np.unique(wanted, return_inverse=True)[1]
    return places


def _check(values: Floats, predicted: Floats, groups: int) -> None:
    if values.ndim != 1 or values.shape != predicted.shape:
        message = f"Labels of shape {values.shape} and probabilities of shape {predicted.shape} do not go"
        raise ModelError("shape-mismatch", f"{message} together. Give one probability for each label.")
    if groups != values.size:
        message = f"There are {groups} groups for {values.size} labels: give the patient of each row."
        raise ModelError("shape-mismatch", message)
    if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        raise ModelError("label-not-binary", "A label is neither 0, 1 nor empty; correct the label column.")
    predicted = predicted[~np.isnan(values)]
    if not ((predicted >= 0) & (predicted <= 1)).all():
        message = "A probability is NaN or not between 0 and 1; leave out the rows that could not be scored."
        raise ModelError("score-not-a-number", message)


def _reliability(positive: Bools, predicted: Floats, codes: Integers, confidence: float) -> ReliabilityBin:
    return ReliabilityBin(
        low=float(predicted.min()),
        high=float(predicted.max()),
        n=positive.size,
        groups=int(np.unique(codes).size),
        positive=int(positive.sum()),
        predicted=float(predicted.mean()),
        observed=float(positive.mean()),
        interval=rate_interval(positive, np.unique(codes, return_inverse=True)[1], confidence),
    )


@dataclass(frozen=True, slots=True)
class _BinErrors:
    """Per bin [b]: the sum of label minus prediction over all rows, `mean`, its standard `deviation`, the
    `correlation` [b, b] between bins, and the bins' `share` of the rows.
    """

    mean: Floats
    deviation: Floats
    correlation: Floats
    share: Floats
    groups: int

    @staticmethod
    def of(positive: Bools, predicted: Floats, codes: Integers, places: Integers) -> "_BinErrors":
        rows, groups, bins = positive.size, int(codes.max()) + 1, int(places.max()) + 1
        residual = (positive - predicted) / rows
        size = np.bincount(places, minlength=bins).astype(np.float64)
        mean: Floats = np.bincount(places, weights=residual, minlength=bins).astype(np.float64)
        sums = np.zeros((groups, bins))
        # Without the bin's own mean: a patient's rows share what the bin errs by.
        np.add.at(sums, (codes, places), residual - (mean / size)[places])
        covariance = sums.T @ sums * groups / max(groups - 1, 1)
        # In a bin of one class the rows say nothing of the variance: one more of each class is assumed.
        hits = np.bincount(places, weights=positive, minlength=bins)
        rate = (hits + 1) / (size + 2)
        least = rate * (1 - rate) * size / rows**2
        estimated = np.diag(covariance)
        deviation = np.sqrt(np.maximum(estimated, least))
        norm = np.sqrt(np.maximum(estimated, 1e-300))
        correlation = covariance / np.outer(norm, norm)
        np.fill_diagonal(correlation, 1.0)
        return _BinErrors(mean, deviation, correlation, size / rows, groups)

    def noise(self) -> Floats:
        """Draws [r, b] of the bins' sums without error; heavier tails for few patients, as of Student's t."""
        rng = np.random.default_rng(0)
        values, axes = np.linalg.eigh(self.correlation)
        normal = rng.standard_normal((_DRAWS, values.size)) @ (axes * np.sqrt(np.maximum(values, 0.0))).T
        freedom = self.groups - 1
        drawn: Floats = normal * np.sqrt(freedom / rng.chisquare(freedom, (_DRAWS, 1))) * self.deviation
        return drawn


def _folded_mean(mean: Floats, deviation: Floats) -> Floats:
    """The mean of the absolute value of normal numbers."""
    from scipy.special import ndtr

    ratio = mean / deviation
    density = np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    folded: Floats = deviation * density + mean * (1 - 2 * ndtr(-ratio))
    return folded


def _inverted(errors: _BinErrors, found: float, confidence: float) -> Interval:
    """The least and the greatest error under which the sum that was found is not extreme."""
    noise, tail = errors.noise(), (1 - confidence) / 2
    ends = []
    for pattern in _patterns(errors):

        def quantile(size: float, share: float, pattern: Floats = pattern) -> float:
            return float(np.quantile(np.abs(size * pattern + noise).sum(axis=1), share))

        low = 0.0 if quantile(0.0, 1 - tail) >= found else _root(quantile, found, 1 - tail)
        # A sum that is smaller than noise makes it is no proof of less: the end is that of a usual one.
        high = _root(quantile, max(found, quantile(0.0, 0.5)), tail)
        ends.append((low, high))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _root(quantile: Callable[[float, float], float], found: float, share: float) -> float:
    """The size of the error, up to 2, at which this quantile of the sum is what was found; it rises with the
    size (Anderson, Proceedings of the AMS 6, 1955).
    """
    low, high = 0.0, 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if quantile(middle, share) < found:
            low = middle
        else:
            high = middle
        if high - low < 1e-5:
            break
    return (low + high) / 2


def _patterns(errors: _BinErrors) -> list[Floats]:
    """Ways [b] in which an error of 1 may be spread over bins: evenly, as found, as found beyond noise, and
    in the one bin that errs most.
    """
    size = np.abs(errors.mean)
    signs = np.where(errors.mean < 0, -1.0, 1.0)
    alone = np.zeros(size.size)
    alone[np.argmax(size / errors.deviation)] = 1.0
    ways = [errors.share, size, np.maximum(size - errors.deviation, 0.0), alone]
    return [signs * way / way.sum() for way in ways if way.sum() > 0]
