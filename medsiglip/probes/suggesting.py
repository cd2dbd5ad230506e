"""Which cases to label next: uncertain ones, unlike each other; ones unlike all; and some at random.

Half of them are uncertain: of the ten times as many that the probe is least sure of, those farthest from each
other (Zhdanov, Diverse mini-batch Active Learning, arXiv:1901.05954, prefilters so). A quarter are farthest
from all that is labelled (k-centre: Sener and Savarese, Active Learning for Convolutional Neural Networks: A
Core-Set Approach, ICLR 2018): what the probe has not met and may be sure of wrongly. A quarter are drawn at
random, without which figures on the new labels would not be of the archive.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats, Integers

Reason = Literal["uncertain", "diverse", "random"]
Singles = npt.NDArray[np.float32]
_PREFILTER = 10


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen row, why, and 1 less its greatest cosine to the labelled rows and to those chosen before, or
    None where there are none.
    """

    row: int
    reason: Reason
    distance: float | None


def least_sure(probability: Floats, exclusive: bool) -> tuple[Floats, Integers]:
    """How unsure probabilities [n, L] are, [n] from 0 to 1, and of which label [n]: 1 less the difference of
    the two likeliest classes (Scheffer, Decomain and Wrobel, IDA 2001), of a label and its absence; of labels
    that are each for itself, that of the most unsure.
    """
    if exclusive and probability.shape[1] > 1:
        best = np.sort(probability, axis=1)
        return 1.0 - (best[:, -1] - best[:, -2]), probability.argmax(axis=1)
    unsure = 1.0 - np.abs(2.0 * probability - 1.0)
    label = unsure.argmax(axis=1)
    return unsure[np.arange(len(unsure)), label], label


def suggest(
    vectors: Singles, uncertainty: Floats, groups: Integers, labelled: Singles, count: int, seed: int = 0
) -> list[Pick]:
    """At most `count` of n rows, none two of one group; vectors [n, d] and those of labelled rows [m, d] are
    of unit length, `uncertainty` is [n] and `groups` [n].
    """
    choosing = _Choosing(vectors, uncertainty, groups, labelled)
    uncertain = math.ceil(count / 2)
    diverse = min(math.ceil(count / 4), count - uncertain)
    pool = np.zeros(len(vectors), bool)
    pool[np.argsort(-uncertainty, kind="stable")[: _PREFILTER * uncertain]] = True
    choosing.take(uncertain, "uncertain", choosing.farthest_in(pool, first=uncertainty))
    choosing.take(diverse, "diverse", choosing.farthest_in(np.ones(len(vectors), bool), first=None))
    shuffled = np.random.default_rng(seed).permutation(len(vectors))
    choosing.take(count - len(choosing.picks), "random", lambda free: int(shuffled[free[shuffled]][0]))
    return choosing.picks


def choose(
    vectors: Singles,
    uncertainty: Floats | None,
    groups: Integers,
    labelled: Singles,
    count: int,
) -> list[int]:
    """At most `count` of n rows, in order, as `suggest` takes uncertain ones; without `uncertainty`, as it
    takes diverse ones. A second row of a group comes only when every group has one; groups below 0 come as
    if they had one already.
    """
    choosing = _Choosing(vectors, np.zeros(len(vectors)), groups, labelled)
    choosing.free(groups >= 0)
    reason: Reason = "diverse" if uncertainty is None else "uncertain"
    pool = np.ones(len(vectors), bool)
    while len(choosing.picks) < min(count, len(vectors)):
        before = len(choosing.picks)
        if uncertainty is not None:
            pool = choosing.least_sure(uncertainty, _PREFILTER * (count - before))
        choosing.take(count - before, reason, choosing.farthest_in(pool, first=uncertainty))
        choosing.free(np.ones(len(vectors), bool))
    return [one.row for one in choosing.picks]


class _Choosing:
    """Rows that are still free, and the greatest cosine of each to what is labelled or chosen."""

    def __init__(self, vectors: Singles, uncertainty: Floats, groups: Integers, labelled: Singles) -> None:
        self._vectors, self._groups = vectors, groups
        self._free = np.ones(len(vectors), bool)
        self._nearest = np.full(len(vectors), -np.inf)
        for low in range(0, len(vectors), 4096):
            if len(labelled):
                self._nearest[low : low + 4096] = (vectors[low : low + 4096] @ labelled.T).max(axis=1)
        self.picks: list[Pick] = []

    def free(self, rows: npt.NDArray[np.bool_]) -> None:
        """Of these rows those may be chosen that are not yet."""
        self._free = rows.copy()
        self._free[[one.row for one in self.picks]] = False

    def least_sure(self, uncertainty: Floats, count: int) -> npt.NDArray[np.bool_]:
        """The free rows that are least sure, so many."""
        pool = np.zeros(len(self._free), bool)
        rows = np.flatnonzero(self._free)
        pool[rows[np.argsort(-uncertainty[rows], kind="stable")[:count]]] = True
        return pool

    def take(self, count: int, reason: Reason, choose: Callable[[npt.NDArray[np.bool_]], int | None]) -> None:
        """Choose so many of the free rows, or all that are left."""
        for _ in range(count):
            row = choose(self._free) if self._free.any() else None
            if row is None:
                return
            nearest = float(self._nearest[row])
            self.picks.append(Pick(row, reason, 1.0 - nearest if math.isfinite(nearest) else None))
            self._free &= self._groups != self._groups[row]
            self._nearest = np.maximum(self._nearest, self._vectors @ self._vectors[row])

    def farthest_in(
        self, pool: npt.NDArray[np.bool_], first: Floats | None
    ) -> Callable[[npt.NDArray[np.bool_]], int | None]:
        """The free row of the pool that is farthest from what is labelled or chosen; at first the greatest of
        `first`, if given.
        """

        def choose(free: npt.NDArray[np.bool_]) -> int | None:
            rows = np.flatnonzero(free & pool)
            if not len(rows):
                return None
            if first is not None and not self.picks:
                return int(rows[first[rows].argmax()])
            return int(rows[self._nearest[rows].argmin()])

        return choose


def more_to_halve(groups: int) -> int:
    """How many more groups (patients) halve an interval of AUROC that `groups` gave, with the same share of
    positives: its width goes with one over the root of their number (Hanley and McNeil, Radiology 1982).
    """
    return 3 * groups
