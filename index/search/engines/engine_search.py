"""`VectorSearch` over an engine: candidates from there, ranked again by the exact scores of the shards.

No vectors are in memory: they are read from the mapped shards where they are needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn, Self

import numpy as np

from medsiglip.index.engines.engine import Collection, PushedFilter
from medsiglip.index.engines.home_engine import HomeEngine
from medsiglip.index.engines.shard_rows import ShardRows
from medsiglip.index.errors import CatalogError
from medsiglip.index.group_means import Members, group_means
from medsiglip.index.records import Level
from medsiglip.index.search.kinds.memory_held import HeldBytes, held_bytes
from medsiglip.index.search.kinds.vector_search import IdPlaces, Mask, Neighbours, compared, ranked, top
from medsiglip.index.search_records import How
from medsiglip.index.vectors import Ids, Vectors

FEW = 2000
"""Of so few rows all are compared: reading them costs less than an engine's passing by the others."""
# Candidates for each hit that is wanted, and more: what the engine rounds changes the order of near ones.
_FOR_EACH, _MORE = 2, 64
# With each further question as many times as many are asked for.
_FURTHER = 4
# Rows that are in memory at a time while all are compared.
_ROWS = 4096
# Shards may be merged again while it is looked up where images are.
_ATTEMPTS = 5


class EngineSearch(ABC):
    """One level of one state of a space: which rows there are, and where their vectors lie.

    States are never changed; `add`, `remove` and `copy` are for kinds in memory.
    """

    def __init__(self, home: HomeEngine, collection: Collection, places: IdPlaces) -> None:
        self.home = home
        self.collection = collection
        self._places = places

    @property
    def spec(self) -> str:
        """As in `VectorSearch`: the name of the engine."""
        return self.home.name

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self._places.ids

    def add(self, ids: Ids, vectors: Vectors) -> NoReturn:
        """Not for states."""
        raise NotImplementedError

    def remove(self, ids: Ids) -> NoReturn:
        """Not for states."""
        raise NotImplementedError

    def copy(self) -> Self:
        """As in `VectorSearch`: itself, for it never changes."""
        return self

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`: no vectors."""
        return held_bytes([])

    @abstractmethod
    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`, read from the shards."""

    @abstractmethod
    def in_reading_order(self, ids: Ids) -> Ids:
        """Ids in an order in which their vectors are read fast."""

    def search(
        self,
        queries: Vectors,
        k: int,
        allowed: Mask | None = None,
        *,
        exact: bool = True,
        filters: Sequence[PushedFilter] = (),
    ) -> Neighbours:
        """As in `VectorSearch`. `exact` compares every row that may answer, as the shards have it. Without,
        the engine is asked, with those of the `filters` that it takes; what `allowed` lets pass passes them.
        """
        count = len(self.ids) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count)
        if exact or count <= FEW or not k:
            return self._compared(queries, k, allowed)
        self.home.answer_soon()
        self.home.require_filled(self.collection, len(self.ids))
        scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        looked_at = np.full(len(queries), count, np.int64)
        how: list[How] = ["compared"] * len(queries)
        found = self._candidates(queries, k, allowed, count, filters)
        for number, candidates in found.items():
            vectors = self.rows(candidates)
            scores[number], ids[number] = ranked(queries[number], candidates, vectors, k)
            how[number], looked_at[number] = "approximate", len(candidates)
        left = [number for number in range(len(queries)) if number not in found]
        if left:
            rest = self._compared(queries[left], k, allowed)
            scores[left], ids[left] = rest.scores, rest.ids
        return Neighbours(scores, ids, tuple(how), looked_at)

    def _candidates(
        self, queries: Vectors, k: int, allowed: Mask | None, count: int, filters: Sequence[PushedFilter]
    ) -> dict[int, Ids]:
        """At least k rows for each query, by its number, that may answer and are among the nearest by the
        engine; none for a query for which it did not find as many.
        """
        engine, level = self.home.engine, self.collection.level
        pushed = [one for one in filters if engine.takes(level, one)]
        wanted = min(_FOR_EACH * k + _MORE, count)
        asked = wanted
        if allowed is not None and not pushed:
            asked = int(wanted * len(self.ids) / count) + _MORE  # as many as are expected not to be allowed
        asked = min(asked, engine.most)
        found: dict[int, Ids] = {}
        waiting = list(range(len(queries)))
        while waiting:
            answer = engine.nearest(self.collection, queries[waiting], asked, pushed)
            left = []
            for number, ids in zip(waiting, answer.ids, strict=True):
                kept, is_last = self._allowed(ids, allowed), len(ids) < asked or asked == engine.most
                if len(kept) >= (k if is_last else wanted):
                    found[number] = kept
                elif not is_last:
                    left.append(number)
            waiting, asked = left, min(_FURTHER * asked, engine.most)
        return found

    def _allowed(self, ids: Ids, allowed: Mask | None) -> Ids:
        """Those of the ids that this state has, and that may answer, each once."""
        known = ids[self._places.holds(ids)]
        if allowed is not None:
            known = known[allowed[self._places.of(known)]]
        return np.unique(known)

    def _compared(self, queries: Vectors, k: int, allowed: Mask | None) -> Neighbours:
        """The exact answer, some rows at a time."""
        ids = self.in_reading_order(self.ids if allowed is None else self.ids[allowed])
        scores = np.empty((len(queries), 0), np.float32)
        best = np.empty((len(queries), 0), np.int64)
        parts, width = [(scores, best)], 0
        for low in range(0, len(ids), _ROWS):
            part = ids[low : low + _ROWS]
            parts.append(top(queries, part, self.rows(part), k))
            width += parts[-1][0].shape[1]
            # With as many as are kept, so that the time does not grow with their product.
            if width > 2 * k + _ROWS:
                parts = [_best(parts, k)]
                width = parts[0][0].shape[1]
        return compared(*_best(parts, k), len(ids))


def _best(parts: Sequence[tuple[Vectors, Ids]], k: int) -> tuple[Vectors, Ids]:
    """The k best of answers to the same queries, equal scores by ascending id."""
    scores = np.concatenate([one[0] for one in parts], axis=1)
    best = np.concatenate([one[1] for one in parts], axis=1)
    order = np.lexsort((best, -scores))[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)


class Shelved(NamedTuple):
    """Images `ids` int64 [m], ascending, with the row ids [m] of their `shards`, and the `names` of these."""

    ids: Ids
    shards: Ids
    names: Mapping[int, str]


class ImageSearch(EngineSearch):
    """The images of a state; `shards` int64 [n] are the row ids of their shards, and `names` the names.

    Another process may delete or merge shards at any time; `look_up` says where images are now.
    """

    def __init__(
        self,
        home: HomeEngine,
        collection: Collection,
        places: IdPlaces,
        shards: Ids,
        names: Mapping[int, str],
        shard_rows: ShardRows,
        look_up: Callable[[Ids], Shelved],
    ) -> None:
        super().__init__(home, collection, places)
        self._look_up = look_up
        self._shards = shards
        self._names = names
        self._shard_rows = shard_rows

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`, read from the shards.

        Raises `CatalogError` `missing-shard` where the catalogue still names one that is not there, and
        `changed-meanwhile` where images of this state were forgotten.
        """
        shards, names = self._shards[self._places.of(ids)], self._names
        for _ in range(_ATTEMPTS):
            try:
                return self._shard_rows.vectors(ids, shards, names)
            except CatalogError as error:
                if error.code != "missing-shard":
                    raise
                now = self._look_up(np.unique(ids))
                places = np.minimum(np.searchsorted(now.ids, ids), max(0, len(now.ids) - 1))
                if not len(now.ids) or (now.ids[places] != ids).any():
                    raise _forgotten() from None
                moved = now.shards[places]
                if np.array_equal(moved, shards):
                    raise
                shards, names = moved, now.names
        raise _forgotten()

    def in_reading_order(self, ids: Ids) -> Ids:
        """By shard, and within one as they lie."""
        return ids[np.lexsort((ids, self._shards[self._places.of(ids)]))]


def _forgotten() -> CatalogError:
    return CatalogError("changed-meanwhile", "Cases were forgotten or moved meanwhile; run this again.")


class MeansSearch(EngineSearch):
    """The series or studies of a state, by the means of their `members` among its `images`."""

    def __init__(self, images: ImageSearch, level: Level, members: Members) -> None:
        places = IdPlaces()
        places.add(members.groups)
        super().__init__(images.home, images.collection._replace(level=level), places)
        self._images = images
        self._members = members

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`: means of vectors that are read from the shards."""
        self._places.of(ids)  # `KeyError` for unknown ones
        groups, back = np.unique(ids, return_inverse=True)
        made = group_means(self._images.rows, self._images.ids, self._members, groups)
        found = [np.empty((0, self.collection.dimension), np.float32), *(means for _, means, _ in made)]
        return np.concatenate(found)[back]

    def in_reading_order(self, ids: Ids) -> Ids:
        """Ascending: groups come with their images."""
        return np.sort(ids)
