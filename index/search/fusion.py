"""Reciprocal rank fusion: one ranking of several, by places alone, so that their scores need not compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item", str, int)

K = 60.0
"""The constant of Cormack, Clarke and Büttcher (2009): the higher, the less the first places count."""


@dataclass(frozen=True, slots=True)
class Fused(Generic[Item]):
    """An item with its score, and its place in each ranking, from 1: None where a ranking lacks it."""

    item: Item
    score: float
    ranks: tuple[int | None, ...]


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Item]], k: float = K, weights: Sequence[float] | None = None
) -> list[Fused[Item]]:
    """Every item of the rankings, best first, by the sum of weight / (k + place) over the rankings that have
    it (Cormack, Clarke, Büttcher, Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods, SIGIR 2009).

    `rankings` hold items best first; of an item that one of them holds twice the better place counts.
    `weights`, one for each ranking, are 1 by default. Equal scores are in the order of the best single place,
    then of the items themselves: row ids, or UIDs. Costs n log n for n items in all.
    Raises ValueError for a `k` below 0, and for weights that are not one finite number of at least 0 each.
    """
    shares = [1.0] * len(rankings) if weights is None else list(weights)
    if not k >= 0 or len(shares) != len(rankings):
        raise ValueError(f"k={k} must be at least 0, and weights one for each of {len(rankings)} rankings")
    if not all(share >= 0 and math.isfinite(share) for share in shares):
        raise ValueError(f"weights must be finite and at least 0, not {shares}")
    places: dict[Item, list[int | None]] = {}
    for number, ranking in enumerate(rankings):
        for place, item in enumerate(ranking, start=1):
            held = places.setdefault(item, [None] * len(rankings))
            if held[number] is None:
                held[number] = place
    fused = [Fused(item, _score(held, shares, k), tuple(held)) for item, held in places.items()]
    return sorted(fused, key=_order)


def _score(places: Sequence[int | None], shares: Sequence[float], k: float) -> float:
    parts = [share / (k + place) for place, share in zip(places, shares, strict=True) if place is not None]
    return math.fsum(parts)  # the same whatever the order of the rankings


def _order(one: Fused[Item]) -> tuple[float, int, Item]:
    return -one.score, min(place for place in one.ranks if place is not None), one.item
