"""Trials of ways to search: their recall is that of the searches themselves."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.search import tuning
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.faiss_flat import FaissFlat
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.search.kinds.quick_learning import Learning
from medsiglip.index.search.kinds.quick_search import K, quick_search
from tests.index.search.kinds.embeddings import DIMENSION, pictures, texts

ROWS = 2500


@pytest.mark.parametrize("kind", [FaissFlat, BoundedIndex, QuickIndex])
def test_rows_are_those_of_any_kind(kind: type) -> None:
    index = kind(DIMENSION)
    index.add(np.arange(ROWS)[::-1] * 2, pictures(ROWS, 1))
    held = tuning.coded_rows(index)
    assert np.array_equal(held.ids, index.ids)
    assert np.array_equal(held.rows.take(np.arange(ROWS)), pictures(ROWS, 1))


def test_trials_tell_the_recall_of_searches() -> None:
    rows = pictures(ROWS, 1)
    rows[:40] = rows[40:80]
    index = BoundedIndex(DIMENSION)
    index.add(np.arange(ROWS), rows)
    held, sentences = index.held, texts(200, 5)
    trials = [one for one in tuning.trials(held, sentences) if one.kind == "quick"]
    assert len({one.spec for one in trials}) == 2  # of 32 and of 64 values
    learning = Learning(held, sentences)
    queries = learning.queries
    assert np.array_equal(queries.queries[: queries.images], rows[queries.own[: queries.images]])
    assert np.array_equal(queries.queries[queries.images :], sentences[1::2])
    found_once = []
    for width in learning.widths():
        codes = learning.codes(width)
        for trial in (one for one in trials if one.spec == codes.spec):
            answer = quick_search(held, codes, queries.queries, K + 1, trial.candidates or 0)
            parts = []
            for number, (query, own) in enumerate(zip(queries.queries, queries.own, strict=True)):
                products = np.delete(rows @ query, own) if own >= 0 else rows @ query
                least = np.sort(products)[-K] - 1e-6
                mine = answer.ids[number] != own
                parts.append(min(K, (answer.scores[number][mine] >= least).sum()) / K)
            measured = np.mean(parts[: queries.images]), np.mean(parts[queries.images :])
            # The trial ranks one row less, because it leaves out the picture itself.
            assert trial.recall.images == pytest.approx(measured[0], abs=0.01)
            assert trial.recall.texts == pytest.approx(measured[1], abs=0.01)
            found_once.append(trial.recall.least)
    assert min(found_once) < 0.9 < max(found_once)


def test_what_is_learnt_from_is_not_asked() -> None:
    index = BoundedIndex(DIMENSION)
    index.add(np.arange(ROWS), pictures(ROWS, 1))
    learning = Learning(index.held, texts(40, 2))
    sample = {row.tobytes() for row in learning._sample}
    assert len(sample) == ROWS - learning.queries.images
    assert not sample & {row.tobytes() for row in learning.queries.queries}
