"""Whether a text is like what an archive of medical images is asked about.

A score is learned from texts that are and texts that are not (outlier exposure: Hendrycks, Mazeika and
Dietterich, arXiv 1812.04606): a logistic regression on few statistics of the text's tokens, on its scores
with images of the archive, and on what a linear probe makes of its vector. Which of them tell depends on the
model, so the weights are learned with each. The threshold comes from other texts, by conformal p-values:
whatever the score is worth, its false alarms are as rare as stated among texts like those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from medsiglip.scope.outlier_p_values import Scores, p_values, thinned

Vectors = npt.NDArray[np.float32]
STATISTICS = ("pieces per character", "share of bytes", "best scores", "best scores above the mean")
"""What is measured of a text, beside its vector."""

_BEST = 5
# Added to the characters, as pieces per character of a short text say little.
_MORE_CHARACTERS = 3
_FOLDS = 5
# Of the probe on vectors of unit length, and of the few statistics that are brought to unit variance.
_PROBE_C, _STATISTICS_C = 10.0, 1.0


class PieceCounts(Protocol):
    """A tokenizer that counts."""

    def piece_counts(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Characters without spaces, pieces, and pieces that stand for one byte or are unknown, [n, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """Texts, measured: `statistics` float64 [n, 4] in the order of `STATISTICS`, `vectors` float32 [n, d]."""

    statistics: Scores
    vectors: Vectors

    @classmethod
    def of(cls, tokenizer: PieceCounts, texts: Sequence[str], vectors: Vectors, images: Vectors) -> Self:
        """Texts with their vectors [n, d], beside vectors of images of the archive [m, d], m >= 1."""
        characters, pieces, single = tokenizer.piece_counts(texts).astype(np.float64).T
        cosines = vectors @ images.T
        best = np.sort(cosines, axis=1)[:, -_BEST:].mean(axis=1)
        columns = (
            pieces / (characters + _MORE_CHARACTERS),
            single / np.maximum(pieces, 1),
            best,
            best - cosines.mean(axis=1),
        )
        return cls(np.stack(columns, axis=1).astype(np.float64), vectors)


@dataclass(frozen=True, slots=True)
class TextScope:
    """A learned score of texts, higher for stranger ones: a `probe` [d + 1] on vectors, and `weights` [6] on
    four statistics, the probe's logit, and 1. `usual` are the scores [m] of texts that belong to the archive.
    """

    probe: Scores
    weights: Scores
    usual: Scores

    @classmethod
    def fit(cls, fitted: Measured, outliers: Measured, held_out: Measured) -> Self:
        """Learn from texts that belong to the archive and texts that do not; the `held_out` ones belong to it
        and set the threshold.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        strange = np.repeat([0, 1], [len(fitted.vectors), len(outliers.vectors)])
        vectors = np.concatenate([fitted.vectors, outliers.vectors]).astype(np.float64)
        probe = LogisticRegression(C=_PROBE_C, class_weight="balanced", max_iter=2000)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
        logit = cross_val_predict(probe, vectors, strange, cv=folds, method="decision_function")
        probe.fit(vectors, strange)
        columns = np.column_stack([np.concatenate([fitted.statistics, outliers.statistics]), logit])
        mean, spread = columns.mean(axis=0), columns.std(axis=0)
        spread[spread == 0] = 1.0
        both = LogisticRegression(C=_STATISTICS_C, class_weight="balanced", max_iter=2000)
        both.fit((columns - mean) / spread, strange)
        slopes = both.coef_[0] / spread
        scope = cls(
            np.append(probe.coef_[0], probe.intercept_[0]),
            np.append(slopes, both.intercept_[0] - slopes @ mean),
            np.empty(0),
        )
        return cls(scope.probe, scope.weights, thinned(scope.scores(held_out)))

    def scores(self, texts: Measured) -> Scores:
        """The scores, float64 [n]."""
        logit = texts.vectors.astype(np.float64) @ self.probe[:-1] + self.probe[-1]
        scores: Scores = np.column_stack([texts.statistics, logit]) @ self.weights[:-1] + self.weights[-1]
        return scores

    def p_values(self, texts: Measured) -> Scores:
        """How usual each text is, float64 [n]: at most a for a share of at most a of usual texts."""
        return p_values(self.scores(texts), self.usual)

    def with_usual(self, more: Measured) -> Self:
        """The same score, whose threshold also comes from these texts, such as sentences of the archive."""
        usual = np.concatenate([self.usual, self.scores(more)])
        return type(self)(self.probe, self.weights, thinned(usual))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        named = {"probe": self.probe, "weights": self.weights, "usual": self.usual}
        return {name: [float(f"{value:.7g}") for value in values] for name, values in named.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """A scope that was stored; raises KeyError, TypeError or ValueError for anything else."""
        return cls(*(np.array(value[name], np.float64) for name in ("probe", "weights", "usual")))
