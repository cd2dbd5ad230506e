"""The nearest of every row of a level, exactly: what a map is laid out by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medsiglip.index.records import Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.vectors import Ids, Vectors

OnStep = Callable[[int, int], object]
_ROWS_AT_ONCE = 512
# Neighbours that are asked for in a second search, of rows whose first are all of their own study.
_FURTHER = 256


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourGraph:
    """Rows of a level of a space by id, `row_ids` int64 [n] ascending, with their `vectors` float32 [n, d],
    and the places in `row_ids` of the k nearest of each without itself: `neighbours` int64 [n, k], best
    first, and `cosines` float32 [n, k]; fewer than k rows have -1 and NaN. `studies` int64 [n] are the row
    ids of their studies, `rows` how many the level has in all, `newest` the highest image id, and `space` the
    space's name.
    """

    space: str
    row_ids: Ids
    vectors: Vectors
    neighbours: Ids
    cosines: Vectors
    studies: Ids
    rows: int
    newest: int


def neighbour_graph(
    space: CurrentSpace, level: Level, k: int, most: int, least_others: int, on_step: OnStep
) -> NeighbourGraph:
    """The graph of at most `most` rows, of more those spread evenly over all.

    Where fewer than `least_others` of the k are of other studies, as among the slices of one series, more are
    looked at, and the first of other studies stand behind those of the own. `on_step` gets how many rows are
    done, and of how many; what it raises ends the search. Raises `CatalogError` `no-space`.
    """
    with space.view() as (loaded, _):
        every = np.sort(_level_ids(loaded, level))
        row_ids = every[:: -(-len(every) // most) or 1]
        allowed = None if len(row_ids) == len(every) else loaded.mask(level, row_ids)
        vectors = loaded.vectors(level, row_ids)
        studies = _studies(loaded, level, row_ids)
    count = len(row_ids)
    near = np.full((count, k), -1, np.int64)
    cosines = np.full((count, k), np.nan, np.float32)
    for low in range(0, count, _ROWS_AT_ONCE):
        part = slice(low, low + _ROWS_AT_ONCE)
        on_step(low, count)
        found = loaded.nearest(level, vectors[part], k + 1, allowed)
        places = np.searchsorted(row_ids, found.ids)
        near[part], cosines[part] = _without_itself(places, found.scores, low, k)
        _add_others(loaded, level, (part, allowed, row_ids), (vectors, studies, near, cosines), least_others)
    on_step(count, count)
    newest = int(loaded.index.ids.max(initial=0))
    return NeighbourGraph(
        loaded.active.space.name, row_ids, vectors, near, cosines, studies, len(every), newest
    )


def _level_ids(loaded: LoadedSpace, level: Level) -> Ids:
    return loaded.index.ids if level == "image" else loaded.group_level(level)[0].index.ids


def _studies(loaded: LoadedSpace, level: Level, row_ids: Ids) -> Ids:
    """The row id of the study of each row."""
    if level == "study":
        return row_ids
    if level == "image":
        return loaded.owners_in_order.study[loaded.places.of(row_ids)]
    members = loaded.group_level(level)[1]
    first = np.array([members.of(int(row))[0] for row in row_ids], np.int64)
    return loaded.owners_in_order.study[first]


def _without_itself(places: Ids, scores: Vectors, low: int, k: int) -> tuple[Ids, Vectors]:
    """At most k of k + 1 answers [q, k + 1], without the row that asked, which equal vectors may push
    away."""
    count, found = places.shape
    itself = places == low + np.arange(count)[:, None]
    if found > k or itself.any():
        itself[~itself.any(axis=1), -1] = True
    kept = ~itself
    near = np.full((count, k), -1, np.int64)
    cosines = np.full((count, k), np.nan, np.float32)
    width = int(kept.sum(axis=1).max(initial=0))
    if width:
        near[:, :width] = places[kept].reshape(count, width)
        cosines[:, :width] = scores[kept].reshape(count, width)
    return near, cosines


def _add_others(
    loaded: LoadedSpace,
    level: Level,
    asked: tuple[slice, np.ndarray | None, Ids],
    graph: tuple[Vectors, Ids, Ids, Vectors],
    least: int,
) -> None:
    """In place of the last neighbours of rows that are nearly all of the own study, the first of other
    studies."""
    (part, allowed, row_ids), (vectors, studies, near, cosines) = asked, graph
    k = near.shape[1]
    least = min(least, k)
    own = studies[part][:, None]
    others = ((studies[np.maximum(near[part], 0)] != own) & (near[part] >= 0)).sum(axis=1)
    # Where all that there is was found already, there is no more.
    short = np.flatnonzero((others < least) & (near[part, -1] >= 0)) + part.start
    if level == "study" or not len(short):
        return
    found = loaded.nearest(level, vectors[short], _FURTHER, allowed)
    places = np.searchsorted(row_ids, found.ids)
    for row, theirs, scores in zip(short.tolist(), places, found.scores, strict=True):
        apart = np.flatnonzero(studies[theirs] != studies[row])[:least]
        if len(apart):
            near[row, k - len(apart) :] = theirs[apart]
            cosines[row, k - len(apart) :] = scores[apart]
