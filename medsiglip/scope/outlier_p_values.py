"""Conformal p-values: how unusual a score is among scores of the same kind that are known to be usual.

Where a new case is exchangeable with those that the known scores are of, its p-value is at most a with a
probability of at most a, whatever the score is (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
World, 2005; for outliers Bates, Candès, Lei, Romano and Sesia, arXiv 2104.08279).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FALSE_ALARM = 0.05
"""The share of usual cases that are called out of scope, unless another is asked for."""
MOST_KEPT = 512
"""So many usual scores are kept at most."""

# Of the same text or image encoded twice: another batch rounds otherwise.
_SAME = 1e-4

Scores = npt.NDArray[np.float64]


def p_values(scores: npt.ArrayLike, usual: npt.ArrayLike) -> Scores:
    """The p-value, float64 [n], of each score [n] among the `usual` ones [m]: (1 + how many of them are at
    least as high) / (m + 1). What differs by no more than rounding is as high.
    """
    ordered, asked = np.sort(np.asarray(usual, np.float64)), np.asarray(scores, np.float64)
    below = np.searchsorted(ordered, asked - _SAME * (1 + np.abs(asked)), "left")
    return np.asarray((1.0 + len(ordered) - below) / (len(ordered) + 1.0), np.float64)


def fewest(false_alarm: float = FALSE_ALARM) -> int:
    """How many usual scores there must be for a p-value to be as low as the rate of false alarms."""
    return math.ceil(1.0 / false_alarm - 1e-9) - 1


def thinned(scores: npt.ArrayLike, most: int = MOST_KEPT) -> Scores:
    """At most `most` of the scores, spread evenly over their order."""
    ordered = np.sort(np.asarray(scores, np.float64))
    if len(ordered) <= most:
        return ordered
    taken: Scores = ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.intp)]
    return taken
