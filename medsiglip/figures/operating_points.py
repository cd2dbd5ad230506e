"""Limits above which a row is called positive, and how many rows they call rightly.

A limit is chosen on the rows of all folds but one and tried on those of that one, so that no row has a part
in the limit that it is judged by. The limit that is stated is the mean of those that the folds chose: they
scatter around it, and so does what they are worth. One chosen on all rows may lie beside all of them, and
intervals around what they are worth held what Youden's was worth only .79 to .90 of the time.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import Bools, Interval, rate_interval
from medsiglip.numerics import Floats, Integers

Rule = Literal["youden", "sensitivity", "specificity"]


class Calls(NamedTuple):
    """Whether rows [n] are called rightly: `crossed` each by the limit that the other folds chose, `stated`
    by the limit that is stated.
    """

    crossed: Bools
    stated: Bools


class Shares(NamedTuple):
    """Sensitivity and specificity, NaN without a row of the class, with their intervals."""

    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval


class ChosenPoint(NamedTuple):
    """A limit, those of the folds whose mean it is, what it is worth, and the calls of each row."""

    limit: float
    of_folds: tuple[float, ...]
    shares: Shares
    calls: Calls


def chosen_limit(positive: Bools, scores: Floats, rule: Rule, target: float | None = None) -> float:
    """The limit that a rule chooses on scores [n]; a score of at least the limit is called positive.

    `youden` has the greatest sum of sensitivity and specificity (Youden, Cancer 3, 1950), `sensitivity` is
    the highest limit with a sensitivity of at least `target`, and `specificity` the lowest with a specificity
    of at least `target`. Limits lie midway between scores. Raises ModelError "one-class" where rows of a
    class are missing, and "bad-operating-point" for a rule that is not one of these or a target that is not
    above 0 and at most 1.
    """
    _check(rule, target)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise ModelError(
            "one-class",
            "An operating point needs rows with the label and rows without it: label both.",
        )
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    sensitivity = hits[last] / positives
    specificity = 1 - (last + 1 - hits[last]) / negatives
    levels = ranked[last]
    if rule == "youden":
        place = int(np.argmax(sensitivity + specificity))
    elif rule == "sensitivity":
        place = int(np.argmax(sensitivity >= float(target or 0) - 1e-12))
    else:
        enough = np.flatnonzero(specificity >= float(target or 0) - 1e-12)
        place = int(enough[-1]) if enough.size else -1
    if place < 0:  # not even the highest score may be called positive
        return float(levels[0] + _beyond(levels))
    below = levels[place + 1] if place + 1 < levels.size else levels[place] - 2 * _beyond(levels)
    return float((levels[place] + below) / 2)


def operating_point(
    positive: Bools,
    scores: Floats,
    codes: Integers,
    fold: Integers,
    rule: Rule,
    target: float | None = None,
    *,
    confidence: float = 0.95,
) -> ChosenPoint:
    """The operating point of scores [n] whose groups are numbered from 0 by `codes` [n] and lie in the folds
    `fold` [n], at least two. Raises ModelError as `chosen_limit` does, and "too-few-folds".
    """
    numbers = np.unique(fold)
    if numbers.size < 2:
        raise ModelError("too-few-folds", "An operating point needs at least two folds.")
    limits = {}
    for number in numbers:
        others = fold != number
        limits[int(number)] = chosen_limit(positive[others], scores[others], rule, target)
    limit = float(np.mean(list(limits.values())))
    own = np.array([limits[int(number)] for number in numbers])[np.searchsorted(numbers, fold)]
    calls = Calls((scores >= own) == positive, (scores >= limit) == positive)
    return ChosenPoint(limit, tuple(limits.values()), shares(positive, calls, codes, confidence), calls)


def shares(positive: Bools, calls: Calls, codes: Integers, confidence: float = 0.95) -> Shares:
    """What a limit is worth, of rows [n] or of some of them.

    The value is that of the calls across folds. The interval reaches over those of both calls: it is to hold
    what the stated limit is worth on new groups.
    """
    found: list[tuple[float, Interval]] = []
    for rows in (positive, ~positive):
        if not rows.any():
            found.append((np.nan, (np.nan, np.nan)))
            continue
        groups = np.unique(codes[rows], return_inverse=True)[1]
        ends = [rate_interval(right[rows], groups, confidence) for right in calls]
        value = float(calls.crossed[rows].mean())
        found.append((value, (min(low for low, _ in ends), max(high for _, high in ends))))
    return Shares(*found[0], *found[1])


def _check(rule: str, target: float | None) -> None:
    if rule not in get_args(Rule):
        named = ", ".join(get_args(Rule))
        raise ModelError("bad-operating-point", f"There is no rule {rule!r} for a limit; there are {named}.")
    if rule != "youden" and (target is None or not 0 < target <= 1):
        raise ModelError(
            "bad-operating-point", f"The {rule} to reach must be above 0 and at most 1, not {target}."
        )


def _beyond(levels: Floats) -> float:
    """How far a limit lies beyond the last score."""
    spread = float(levels[0] - levels[-1])
    return spread / 100 if spread > 0 else 1.0
