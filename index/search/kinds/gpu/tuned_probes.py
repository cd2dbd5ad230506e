"""How many lists a search goes through: the fewest with which it finds what it is to find."""

from __future__ import annotations

import numpy as np

from medsiglip.index.info_records import MeasuredRecall
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.device_search import DeviceSearch, Host
from medsiglip.index.search.kinds.gpu.placement import Placement
from medsiglip.index.search.kinds.quick_learning import measured
from medsiglip.index.vectors import Ids, Vectors

RECALL = 0.999
"""The part of the k nearest that approximate answers hold at least, of both sorts of queries tried."""
_K, _TRIALS = 10, 128


def tune(rows: DeviceRows, host: Host, stamps: Ids) -> MeasuredRecall:
    """Set `rows.probes`, and return the recall measured with them: below `RECALL` where all lists do not
    suffice.

    Half of the queries are `trial_queries`; the others are the host's sample, such as texts, which no list
    was learnt on. The exact answers are the host's.
    """
    sample = host.query_sample
    chosen = np.linspace(0, len(sample) - 1, min(_TRIALS, len(sample))).astype(np.int64)
    between = trial_queries(host)
    queries = np.concatenate([between, sample[chosen]])
    k = min(_K, len(host.ids))
    exact = host.search(queries, k).ids
    placement = Placement.of(stamps, rows.stamps)
    probes = 1
    while True:
        rows.probes = min(probes, rows.lists)
        nothing = np.empty((0, rows.dimension), np.float32)
        search = DeviceSearch(host, rows, placement, nothing, queries, k, None, False)
        found = search.answer(k + rows.recipe.spare).ids
        held = np.array([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)])
        recall = measured(held, len(between), k, len(stamps))
        if recall.least >= RECALL or probes >= rows.lists:
            return recall
        probes *= 2


def trial_queries(host: Host) -> Vectors:
    """At most 128 queries of the sort of the rows, each between two rows far apart in order, which are no row
    themselves: float32 [q, d] of unit length.
    """
    ids = host.ids
    count = min(_TRIALS, len(ids))
    first = np.linspace(0, len(ids) - 1, count).astype(np.int64)
    other = (first + max(1, len(ids) // 3)) % len(ids)
    mixed = 0.7 * host.rows(ids[first]) + 0.3 * host.rows(ids[other])
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.ascontiguousarray(mixed / np.where(lengths > 0, lengths, 1), np.float32)
