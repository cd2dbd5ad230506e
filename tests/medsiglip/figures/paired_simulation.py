"""Archives of which two models rank the same cases, to see how often intervals of differences hold them.

Scores of the two are binormal and correlated; vectors are Gaussian around their patient's, those of the
second model partly those of the first. What an interval should hold is the mean of the difference over all
archives that were drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from medsiglip.figures.paired import Difference, auroc_difference, retrieval_differences
from medsiglip.figures.retrieval import evaluate_retrieval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """`patients`, of whom `positive` have the label; the AUROC of single images of the `first` and the
    `second` model; `images` of each patient, 0 for 1 to 4 at random; how much the two are `alike`, as the
    correlation of their scores; the `correlation` of a patient's images.
    """

    patients: int
    positive: int
    first: float
    second: float
    images: int
    alike: float
    correlation: float = 0.5

    @property
    def seed(self) -> int:
        """Of its own, whatever else is simulated."""
        return zlib.crc32(repr(self).encode())

    def codes(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """The patient of each image."""
        sizes = rng.integers(1, 5, self.patients) if self.images == 0 else [self.images] * self.patients
        return np.repeat(np.arange(self.patients), sizes)

    def draw(self, rng: np.random.Generator, codes: NDArray[np.intp], *width: int) -> tuple[Floats, Floats]:
        """What the two models see of each image but its class, of unit variance: [n, *width] each."""
        of_patient = self._both(rng, (self.patients, *width))
        of_image = self._both(rng, (codes.size, *width))
        share = np.sqrt(self.correlation), np.sqrt(1 - self.correlation)
        first, second = (
            share[0] * patient[codes] + share[1] * image
            for patient, image in zip(of_patient, of_image, strict=True)
        )
        return first, second

    def _both(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        first, other = rng.standard_normal(shape), rng.standard_normal(shape)
        return first, self.alike * first + np.sqrt(1 - self.alike**2) * other

    @property
    def apart(self) -> tuple[float, float]:
        """How far the classes are apart, in standard deviations."""
        return float(np.sqrt(2) * ndtri(self.first)), float(np.sqrt(2) * ndtri(self.second))


@dataclass(frozen=True, slots=True)
class Held:
    """How often intervals of a figure's difference held its `mean`, and their mean width, in shares too of
    the range in which 95 % of the differences lay.
    """

    figure: str
    mean: float
    covered: float
    width: float
    ratio: float


def auroc_pairs(pair: Pair, replicates: int) -> list[Held]:
    """Coverage of the difference of two AUROCs."""
    rng = np.random.default_rng(pair.seed)
    found = []
    for _ in range(replicates):
        codes = pair.codes(rng)
        positive = codes < pair.positive
        scores = pair.draw(rng, codes)
        first, second = (one + apart * positive for one, apart in zip(scores, pair.apart, strict=True))
        found.append({"auroc": auroc_difference(positive, first, second, codes.tolist())})
    return _held(found)


def retrieval_pairs(pair: Pair, replicates: int) -> list[Held]:
    """Coverage of the differences of precision, recall and mAP, over all queries and of a rare label."""
    rng = np.random.default_rng(pair.seed + 1)
    found = []
    for _ in range(replicates):
        codes = pair.codes(rng)
        kind = (codes < pair.positive).astype(int)
        labels = [{"rare" if one else "common"} for one in kind]
        reports = []
        for vectors, apart in zip(pair.draw(rng, codes, 16), pair.apart, strict=True):
            vectors[np.arange(codes.size), kind] += apart
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            reports.append(evaluate_retrieval(vectors.astype(np.float32), codes.tolist(), labels))
        differences = retrieval_differences(reports[0], reports[1])
        of_all, of_rare = differences[None], differences["rare"]
        wanted = ("precision_at_1", "precision_at_5", "recall_at_5", "map")
        found.append(
            {name: of_all[name] for name in wanted} | {f"rare_{name}": of_rare[name] for name in wanted}
        )
    return _held(found)


def _held(found: list[dict[str, Difference]]) -> list[Held]:
    held = []
    for name in found[0]:
        values = np.array([one[name].value for one in found])
        low, high = np.array([one[name].interval for one in found]).T
        if np.isnan(low).all():  # too few patients: nothing is said
            continue
        mean = values.mean()
        central = np.quantile(values, 0.975) - np.quantile(values, 0.025)
        held.append(
            Held(
                name,
                float(mean),
                float(((low <= mean) & (mean <= high)).mean()),
                float((high - low).mean()),
                float((high - low).mean() / central) if central > 0 else np.inf,
            )
        )
    return held
