"""Whether a vector engine holds exactly what the shards do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medsiglip.index.engines.engine import Held, VectorEngine
from medsiglip.index.search.engines.engine_search import EngineSearch
from medsiglip.index.vectors import Ids

_ROWS = 1000
_SHOWN = 3
_CURE = "run `index rebuild`"


def engine_problems(level: EngineSearch) -> list[str]:
    """What an engine, which was told all that a level of a state has, has otherwise than that, whose vectors
    are read from the shards; sentences with their cure.
    """
    engine, name = level.home.engine, level.collection.level
    missing, extra, other = _compared(engine, level)
    found = []
    if missing:
        found.append(f"{engine.name} lacks vectors at level {name}: {missing}; {_CURE}.")
    if extra:
        found.append(f"{engine.name} holds vectors of nothing at level {name}: {extra}; {_CURE}.")
    if other:
        found.append(f"{engine.name} holds other vectors at level {name}: {other}; {_CURE}.")
    return found


class _Differing:
    """How many ids differ in one way, and the first of them."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[int] = []

    def add(self, ids: Ids) -> None:
        """More of them."""
        self._count += len(ids)
        self._first += ids[: _SHOWN - len(self._first)].tolist()

    def __bool__(self) -> bool:
        return self._count > 0

    def __str__(self) -> str:
        further = ", ..." if self._count > len(self._first) else ""
        return f"{self._count} ({', '.join(map(str, self._first))}{further})"


def _compared(engine: VectorEngine, level: EngineSearch) -> tuple[_Differing, _Differing, _Differing]:
    """The ids that the engine lacks, those that only it has, and those that it has another vector of."""
    expected = np.sort(level.ids)
    missing, extra, other = _Differing(), _Differing(), _Differing()
    begin = 0
    for held in _parts(engine, level):
        # Both sides ascend, so that the part of one is a slice of the other.
        end = int(np.searchsorted(expected, held.ids[-1], side="right"))
        theirs, begin = expected[begin:end], end
        missing.add(np.setdiff1d(theirs, held.ids, assume_unique=True))
        known = np.isin(held.ids, theirs, assume_unique=True)
        extra.add(held.ids[~known])
        stored = level.rows(held.ids[known]).astype(engine.dtype).astype(np.float32)
        other.add(held.ids[known][(stored != held.vectors[known]).any(axis=1)])
    missing.add(expected[begin:])
    return missing, extra, other


def _parts(engine: VectorEngine, level: EngineSearch) -> Iterator[Held]:
    after = 0
    while len((held := engine.held(level.collection, after, _ROWS)).ids):
        yield held
        after = int(held.ids[-1])
