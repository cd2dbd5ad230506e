"""From the scores of pictures to those of what they belong to: a series or a study."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsiglip.numerics import Floats, Integers
from medsiglip.probes.basis import Numbers

Pooling = Literal["mean", "max"]
"""`mean`: a series or study has the mean of its pictures' vectors; `max`: the greatest of their scores."""

_NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class Bags:
    """Which row each vector belongs to: the vectors `order` [m] go row by row, and those of row i begin at
    `starts[i]` [n]. Every row has at least one vector.
    """

    order: Integers
    starts: Integers
    row: Integers

    @staticmethod
    def of(row: Integers) -> "Bags":
        """The bags of the row numbers [m] of vectors; each number from 0 to the greatest occurs."""
        order = np.argsort(row, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], np.diff(row[order]) > 0]))
        return Bags(order, starts, row)

    def maximum(self, logits: Numbers) -> Numbers:
        """The greatest logits [n, ...] among the vectors of each row, of logits [m, ...]."""
        greatest: Numbers = np.maximum.reduceat(logits[self.order], self.starts, axis=0)
        return greatest


def offset(pooled: Floats, truth: Floats, weight: Floats) -> Floats:
    """What is to be added to pooled logits [n, P] so that their log-loss for `truth` [n, P], of 0 and 1, is
    least, with weights [n, P]: the greatest of many scores is too great. 0 where there is one class only.
    """
    added = np.zeros(pooled.shape[1])
    both = ((weight * truth).sum(axis=0) > 0) & ((weight * (1.0 - truth)).sum(axis=0) > 0)
    for _ in range(_NEWTON_STEPS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(pooled + added, -500.0, 500.0)))
        gradient = (weight * (probability - truth)).sum(axis=0)
        curvature = (weight * probability * (1.0 - probability)).sum(axis=0)
        step = np.clip(gradient / np.maximum(curvature, 1e-12), -2.0, 2.0) * both
        added -= step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return added
