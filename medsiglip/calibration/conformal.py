"""Prediction sets of one label at a stated error bound: present, absent, or both.

Split conformal prediction by class (Vovk, "Conditional validity of inductive conformal predictors", ACML
2012), on the margin itself, which was not fitted to these cases, so that all of them count. Of studies with
the label at most the stated share is answered without `present`, of those without it at most that share
without `absent`: on average over sets of calibration cases, for a case of a new patient who is like those.
One case of each patient counts, drawn at random, for cases of one patient are not exchangeable with those of
others. Where strata are given (a sex, a modality), the bound holds in each that has patients enough: the
loosest threshold counts.

MAPIE's split conformal classifier bounds the share over both classes together, by which a rare finding could
be missed every time; it is what `class_sets.py` uses, and what the tests compare these thresholds with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import Interval
from medsiglip.numerics import Floats, Integers

DEFAULT_ERROR = 0.1
ERRORS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""The error bounds for which thresholds are kept."""

Side = Literal["present", "absent"]
Decision = Literal["present", "absent", "undecided"]
Strata = Mapping[str, Sequence[str | None]]
"""By what cases are told apart, such as `sex`, and the stratum of each case, None where it is not known."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of cases with its 95 % interval; `of` says which: `present`, `absent`, `all`, or
    `present, sex F`."""

    of: str
    n: int
    value: float
    interval: Interval


def patients_needed(error: float) -> int:
    """How many patients of a class a bound of the error takes: 9 for 0.1, 99 for 0.01."""
    return math.ceil(round((1 - error) / error, 9))


def known_error(error: float) -> float:
    """The bound itself. Raises ModelError "bad-error-bound" for one that is not kept."""
    for one in ERRORS:
        if math.isclose(one, error):
            return one
    listed = ", ".join(f"{one:g}" for one in ERRORS)
    raise ModelError("bad-error-bound", f"An error bound of {error:g} is not kept: choose one of {listed}.")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """For each of `ERRORS`, the least margin that is still present and the greatest that is still absent;
    None where there were too few patients.
    """

    present: tuple[float | None, ...]
    absent: tuple[float | None, ...]

    def sides(self, margin: float, error: float, probability: float) -> tuple[Side, ...] | None:
        """The answers that stay possible at this error bound, None where there were too few patients for it.

        Never none of them: between two thresholds that leave a gap, the likelier by `probability`.
        """
        place = ERRORS.index(known_error(error))
        least, greatest = self.present[place], self.absent[place]
        if least is None or greatest is None:
            return None
        possible: list[Side] = []
        if margin >= least:
            possible.append("present")
        if margin <= greatest:
            possible.append("absent")
        return tuple(possible) or ("present" if probability >= 0.5 else "absent",)

    def to_json(self) -> dict[str, Any]:
        """The thresholds as JSON values."""
        return {"errors": list(ERRORS), "present": list(self.present), "absent": list(self.absent)}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Thresholds:
        """What `to_json` gave. Raises as `by_bound` does, and KeyError."""
        return Thresholds(*(by_bound(stored["errors"], stored[side]) for side in ("present", "absent")))


def by_bound(errors: Sequence[float], limits: Sequence[float | None]) -> tuple[float | None, ...]:
    """Stored limits for each of `ERRORS`: bounds that are not kept any more are dropped, new ones are None.
    Raises ValueError or TypeError for what is no finite number or None, one for each bound.
    """
    pairs = zip(errors, limits, strict=True)
    kept = {round(float(error), 9): None if limit is None else float(limit) for error, limit in pairs}
    if not all(limit is None or math.isfinite(limit) for limit in kept.values()):
        raise ValueError("thresholds")
    return tuple(kept.get(round(one, 9)) for one in ERRORS)


def decision(sides: Sequence[str]) -> Decision:
    """The one answer that is possible, else `undecided`."""
    if len(sides) == 1:
        return "present" if sides[0] == "present" else "absent"
    return "undecided"


def thresholds(margins: Floats, truth: Floats, codes: Integers, strata: Strata | None = None) -> Thresholds:
    """Thresholds from margins [n] of cases whose truth [n] is 0 or 1, with the number of each patient."""
    sides: list[tuple[float | None, ...]] = []
    for value, sign in ((1.0, 1.0), (0.0, -1.0)):
        rows = np.flatnonzero(truth == value)
        rows = rows[one_of_each(codes[rows])]
        parts = [rows, *_parts(rows, strata or {})]
        found = [[_threshold(sign * margins[part], error) for part in parts] for error in ERRORS]
        # A stratum with too few patients has no threshold of its own; that of all cases counts there.
        loosest = [
            None if of_all is None else sign * min(one for one in (of_all, *others) if one is not None)
            for of_all, *others in found
        ]
        sides.append(tuple(loosest))
    return Thresholds(*sides)


def one_of_each(codes: Integers) -> Integers:
    """The position of one row of each patient, drawn at random, always the same for the same rows."""
    order = np.random.default_rng(0).permutation(codes.size)
    first: npt.NDArray[np.intp] = np.unique(codes[order], return_index=True)[1]
    return np.sort(order[first])


def _parts(rows: Integers, strata: Strata) -> Iterator[Integers]:
    for names in strata.values():
        own = [names[row] for row in rows.tolist()]
        for name in sorted({one for one in own if one is not None}):
            yield rows[np.array([one == name for one in own], bool)]


def _threshold(margins: Floats, error: float) -> float | None:
    """The margin below which at most this share of new cases lies."""
    place = math.floor(round(error * (margins.size + 1), 9))
    return None if place < 1 else float(np.partition(margins, place - 1)[place - 1])
