"""Which patches of two images are each other's nearest: why the model finds the images alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import unit_vectors


@dataclass(frozen=True, slots=True)
class PatchPair:
    """A patch of one image and its nearest in the other: places (row, column) and their cosine."""

    first: tuple[int, int]
    second: tuple[int, int]
    cosine: float


def mutual_nearest(
    first: npt.NDArray[np.floating[Any]],
    second: npt.NDArray[np.floating[Any]],
    *,
    usable: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None,
) -> list[PatchPair]:
    """The patches of two images that are mutually nearest, the closest first.

    `first` and `second` are tokens [patches, d], compared by cosine after the mean over the image is taken
    off each, because all tokens of an image share a part that says nothing about their places. `usable` masks
    [patches] leave out what must not be matched, such as padding.
    """
    count = len(first)
    side = round(count**0.5)
    keep = [np.ones(count, bool), np.ones(count, bool)] if usable is None else list(usable)
    if not keep[0].any() or not keep[1].any():
        return []
    cosine = _centred(first, keep[0]) @ _centred(second, keep[1]).T
    cosine[~keep[0]] = -np.inf
    cosine[:, ~keep[1]] = -np.inf
    to_second, to_first = cosine.argmax(axis=1), cosine.argmax(axis=0)
    rows = np.flatnonzero(keep[0] & (to_first[to_second] == np.arange(count)))
    order = rows[np.argsort(-cosine[rows, to_second[rows]], kind="stable")]
    return [
        PatchPair(
            _place(int(row), side), _place(int(to_second[row]), side), float(cosine[row, to_second[row]])
        )
        for row in order
    ]


def _centred(tokens: npt.NDArray[np.floating[Any]], keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    values = np.asarray(tokens, dtype=np.float64)
    return unit_vectors(values - values[keep].mean(axis=0))


def _place(patch: int, side: int) -> tuple[int, int]:
    return patch // side, patch % side
