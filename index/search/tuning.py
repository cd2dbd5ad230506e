"""Ways to search the vectors of a home, tried on these very vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from medsiglip.index.errors import CatalogError
from medsiglip.index.info_records import MeasuredRecall, TuningTrial
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.best_rows import best_rows
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.search.kinds.quick_learning import Learning, measured, milliseconds
from medsiglip.index.search.kinds.quick_search import K
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.vectors import Ids, Vectors

FEWEST = 64
"""Images below which there is nothing to measure."""
_CHUNK = 16_384


def tune(space: CurrentSpace, texts: Vectors) -> list[TuningTrial]:
    """Trials of comparing with every vector, of exact search by bounds and of approximate searches, on stored
    vectors and on `texts`, float32 [m, d], of which every second is held out.

    Raises `CatalogError` `no-space`, or `too-few-images` below `FEWEST`.
    """
    loaded = space.load()
    if len(loaded.index.ids) < FEWEST:
        raise CatalogError(
            "too-few-images",
            f"The archive holds {len(loaded.index.ids)} images; fewer than {FEWEST} need no tuning: ingest "
            "more first.",
        )
    texts = np.asarray(texts, np.float32).reshape(-1, space.needed().space.dimension)
    return list(trials(coded_rows(loaded.index), texts))


def trials(held: CodedRows, texts: Vectors) -> Iterator[TuningTrial]:
    """As `tune`, of these rows."""
    learning = Learning(held, texts)
    exact = _all_found(learning)
    yield TuningTrial("flat", "Flat", None, exact, milliseconds(_comparing(held), learning.queries), 0)
    if held.projection is not None:
        nbytes = sum(block.nbytes for _, block in held.codes.blocks())
        spec, took = f"Bound{held.projection.width}", learning.exact_milliseconds
        yield TuningTrial("bounded", spec, None, exact, took, nbytes)
    for width in learning.widths():
        codes = learning.codes(width)
        for trial in learning.trials(codes):
            yield TuningTrial(
                "quick", codes.spec, trial.point.candidates, trial.recall, trial.milliseconds, trial.nbytes
            )


def coded_rows(index: VectorSearch) -> CodedRows:
    """The rows of an index with their codes; learnt anew for a kind that has none."""
    if isinstance(index, QuickIndex):
        return index.exact.held
    if isinstance(index, BoundedIndex):
        return index.held
    learnt = BoundedIndex(index.rows(index.ids[:1]).shape[1], least=len(index.ids) + 1)
    for start in range(0, len(index.ids), _CHUNK):
        ids: Ids = index.ids[start : start + _CHUNK]
        learnt.add(ids, index.rows(ids))
    learnt.learn()
    return learnt.held


def _comparing(held: CodedRows) -> Callable[[Vectors], object]:
    def search(query: Vectors) -> object:
        blocks = ((np.arange(start, start + len(block)), block) for start, block in held.rows.blocks())
        return best_rows(query, blocks, K)

    return search


def _all_found(learning: Learning) -> MeasuredRecall:
    queries = learning.queries
    k = min(K, len(learning.held) - 1)
    return measured(np.ones(len(queries.queries)), queries.images, k, len(learning.held))
