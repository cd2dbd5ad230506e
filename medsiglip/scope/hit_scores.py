"""Where the score of a hit stands among the best hits of comparable questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

BEST_HITS = 10
"""So many hits of each comparable question count."""
MOST_QUESTIONS = 200
_PARTS = 200


@dataclass(frozen=True, slots=True)
class HitScores:
    """Scores of the ten best hits of `questions` questions, as 201 `quantiles` in steps of 0.5 %."""

    questions: int
    quantiles: npt.NDArray[np.float64]

    @classmethod
    def of(cls, scores: Sequence[Sequence[float]], strange: Sequence[float] = ()) -> Self | None:
        """Of the scores of each question's hits, best first; None where no question has one.

        `strange` are the best scores of questions that the archive holds nothing for. A question whose best
        hit scores no more than that of one in ten of them is of what is not there, and does not count; at
        least the better half does.
        """
        asked = [list(one)[:BEST_HITS] for one in scores if len(one)]
        if not asked:
            return None
        if len(strange):
            asked.sort(key=lambda one: -one[0])
            least = float(np.quantile(np.asarray(strange, np.float64), 0.9))
            above = sum(one[0] > least for one in asked)
            asked = asked[: max(above, math.ceil(len(asked) / 2))]
        every = np.array([score for one in asked for score in one], np.float64)
        return cls(len(asked), np.quantile(every, np.linspace(0, 1, _PARTS + 1)))

    def percentile(self, score: float) -> float:
        """The share of those hits that do not score more, 0 to 1, and at most n / (n + 1) of n questions, as
        the next one may have better hits than all.
        """
        # Of equal quantiles the highest counts.
        last = int(np.searchsorted(self.quantiles, score, "right"))
        if last == 0:
            return 0.0
        share = 1.0 if last > _PARTS else self._between(last, score)
        return min(share, self.questions / (self.questions + 1))

    def _between(self, last: int, score: float) -> float:
        low, high = self.quantiles[last - 1], self.quantiles[last]
        return float((last - 1 + (score - low) / (high - low)) / _PARTS)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"questions": self.questions, "quantiles": [float(f"{q:.7g}") for q in self.quantiles]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Scores that were stored; raises KeyError, TypeError or ValueError for anything else."""
        quantiles = np.array(value["quantiles"], np.float64)
        if quantiles.shape != (_PARTS + 1,):
            raise ValueError(f"{len(quantiles)} quantiles are no {_PARTS + 1}")
        return cls(int(value["questions"]), quantiles)
