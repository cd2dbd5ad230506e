"""Whether a vector engine holds exactly what the shards do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medsiglip.index.engines.engine import Held, VectorEngine
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.engines.engine_search import EngineSearch
from medsiglip.index.vectors import Ids

_ROWS = 1000
_SHOWN = 3
_CURE = "run `index rebuild`"


def engine_problems(level: EngineSearch) -> list[str]:
    """What an engine has otherwise than a level of a state, whose vectors are read from the shards; sentences
    with their cure. It is told what waits first.
    """
    home, name = level.home, level.collection.level
    try:
        home.catch_up()
        missing, extra, other = _compared(home.engine, level)
    except CatalogError as error:
        if error.code != "wrong-engine":
            raise
        return [str(error)]
    found = []
    if len(missing):
        found.append(f"{home.engine.name} lacks vectors at level {name}: {_some(missing)}; {_CURE}.")
    if len(extra):
        found.append(f"{home.engine.name} holds vectors of nothing at level {name}: {_some(extra)}; {_CURE}.")
    if len(other):
        found.append(f"{home.engine.name} holds other vectors at level {name}: {_some(other)}; {_CURE}.")
    return found


def _compared(engine: VectorEngine, level: EngineSearch) -> tuple[Ids, Ids, Ids]:
    """The ids that the engine lacks, those that only it has, and those that it has another vector of."""
    expected = np.sort(level.ids)
    extra, other, seen = [], [], []
    for held in _parts(engine, level):
        known = np.isin(held.ids, expected)
        extra.append(held.ids[~known])
        seen.append(held.ids[known])
        stored = level.rows(held.ids[known]).astype(engine.dtype).astype(np.float32)
        other.append(held.ids[known][(stored != held.vectors[known]).any(axis=1)])
    nothing = np.empty(0, np.int64)
    present = np.concatenate([nothing, *seen])
    return (
        np.setdiff1d(expected, present),
        np.concatenate([nothing, *extra]),
        np.concatenate([nothing, *other]),
    )


def _parts(engine: VectorEngine, level: EngineSearch) -> Iterator[Held]:
    after = 0
    while len((held := engine.held(level.collection, after, _ROWS)).ids):
        yield held
        after = int(held.ids[-1])


def _some(ids: Ids) -> str:
    shown = ", ".join(str(one) for one in ids[:_SHOWN].tolist())
    return f"{len(ids)} ({shown}{', ...' if len(ids) > _SHOWN else ''})"
