"""The median of patients, with an interval that holds it whatever the distribution."""

import numpy as np
from scipy.stats import binom

from medsiglip.figures.intervals import Interval
from medsiglip.numerics import Floats

_CONFIDENCE = 0.95


def median_interval(values: Floats) -> tuple[float, Interval]:
    """The median of values [n] of as many patients, and its 95 % interval between two of them.

    The number of values below the median is binomial, so that the interval holds it at least 95 times of 100
    (David and Nagaraja, Order Statistics, 2003, section 7.1). Fewer than six values have none: NaN.
    """
    if not len(values):
        return float("nan"), (float("nan"), float("nan"))
    ordered = np.sort(values)
    beyond = int(binom.ppf((1 - _CONFIDENCE) / 2, len(values), 0.5))
    if binom.cdf(beyond - 1, len(values), 0.5) > (1 - _CONFIDENCE) / 2:
        beyond -= 1
    if beyond < 1:
        return float(np.median(ordered)), (float("nan"), float("nan"))
    return float(np.median(ordered)), (float(ordered[beyond - 1]), float(ordered[-beyond]))
