"""Whether an image is like those that an archive holds of other patients.

The score is the distance to the nearest image of another patient (Sun, Ming, Zhu and Li, arXiv 2204.06507),
divided by the root of that image's own such distance: half way to comparing the two (the nearest neighbour
description of Tax, 2001), so that a loose group of images does not hide what lies near a tight one. Its
threshold comes from one image of each patient, by conformal p-values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from medsiglip.scope.outlier_p_values import FALSE_ALARM, Scores, fewest, p_values, thinned

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
MOST_IMAGES = 2048
"""So many images of an archive are compared at most."""
# Below this part of the usual distance two distances are the same: copies, and what is rounded.
_LEAST = 0.05
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class ImageScope:
    """Images of an archive: `vectors` float32 [n, d] of unit length, `patients` [n] as places in `keys`, the
    distance [n] of each to the `nearest` image of another patient, and the `usual` scores [m] of images of
    the archive, one of each patient.
    """

    vectors: Vectors
    patients: Numbers
    keys: tuple[str, ...]
    nearest: Scores
    usual: Scores

    @classmethod
    def of(cls, vectors: Vectors, patient_keys: Sequence[str]) -> Self | None:
        """The scope of images with the keys of their patients; None for fewer than 19 patients, of whom no
        image could be called out of scope at a rate of 5 %.
        """
        keys, patients = np.unique(np.asarray(patient_keys, dtype=object).astype(str), return_inverse=True)
        if len(keys) < max(fewest(FALSE_ALARM), 2):
            return None
        patients = patients.astype(np.int64)
        distance, place = _nearest(vectors, patients, vectors, patients)
        scope = cls(vectors, patients, tuple(keys.tolist()), distance, np.empty(0))
        shown = _one_of_each(patients)
        usual = scope._scores(distance[shown], place[shown])
        return cls(vectors, patients, scope.keys, distance, thinned(usual))

    def p_values(self, vectors: Vectors, patient_key: str | None = None) -> Scores:
        """How usual each image [m, d] is, float64 [m], beside those of other patients than its own: at most a
        for a share of at most a of the images that are as those of the archive.
        """
        own = self.keys.index(patient_key) if patient_key in self.keys else -1
        theirs = np.full(len(vectors), own, np.int64)
        return p_values(self._scores(*_nearest(vectors, theirs, self.vectors, self.patients)), self.usual)

    def _scores(self, distance: Scores, place: npt.NDArray[np.intp]) -> Scores:
        least = _LEAST * float(np.median(self.nearest)) + 1e-9
        scores: Scores = np.log(distance + least) - 0.5 * np.log(self.nearest[place] + least)
        return scores


def median_p_value(values: npt.ArrayLike) -> float:
    """The p-value of several images of one study: their (lower) median. Where each is at most a with a
    probability of at most a, the median is with at most 2a, and with far less where they vary.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    return float(ordered[(len(ordered) - 1) // 2])


def _nearest(
    vectors: Vectors, patients: Numbers, among: Vectors, owners: Numbers
) -> tuple[Scores, npt.NDArray[np.intp]]:
    """The distance (1 - cosine) of each vector to the nearest of another patient, and its place."""
    distance = np.empty(len(vectors))
    place = np.empty(len(vectors), np.intp)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = vectors[part] @ among.T
        cosines[patients[part, None] == owners[None]] = -2.0
        place[part] = cosines.argmax(axis=1)
        distance[part] = 1.0 - np.take_along_axis(cosines, place[part, None], axis=1)[:, 0]
    return np.maximum(distance, 0.0), place


def _one_of_each(patients: Numbers) -> npt.NDArray[np.intp]:
    """The place of one image of each patient, drawn at random and the same in every run: the middle one of a
    volume is more usual than the others.
    """
    order = np.random.default_rng(0).permutation(len(patients))
    _, first = np.unique(patients[order], return_index=True)
    drawn: npt.NDArray[np.intp] = order[first]
    return drawn
