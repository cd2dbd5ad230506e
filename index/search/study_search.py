"""Searching studies set to set: candidates by their means, then image by image, with a proof where bounds
give one.

For a set of queries with mean Q and a study with mean m, let R and r be the largest distances of one of their
images from its mean. By Cauchy and Schwarz an image of the study that a query is most like has a cosine of at
most q.m + r, and the other way round of at most Q.x + R; so the score is at most Q.m + (R + r) / 2. A study
whose bound is below the k-th best score need not be compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.group_level import GroupLevel, Members
from medsiglip.index.search.kinds.best_rows import rounding
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.search.set_to_set import BestMatches, StoredSets, best_matches, rough_scores, spread
from medsiglip.index.search_records import How
from medsiglip.index.vectors import Ids, Vectors, unit_length

CANDIDATES = 300
"""Studies that are compared image by image at first."""

# Up to so many times as many are compared where that proves the answer.
_MORE = 4
# Cosines of one search beyond which sets are thinned, to `_THIN` images each, for a first choice.
_CELLS = 2**25
_THIN = 32
# More than what rounding to float32 does to means and lengths.
_SLACK = 1e-5
# Means that are in memory at a time.
_ROWS = 8192


class StudyHits(NamedTuple):
    """Studies most like a set of images, best first, equal scores by ascending id: `scores` float32 and
    row `ids` int64 [k], and how the images of each match the question's.

    `how` says whether bounds have `proven` that no other study is among them, all were `compared`, or
    neither; `looked_at` is the number of studies that were compared image by image.
    """

    scores: Vectors
    ids: Ids
    matches: tuple[BestMatches, ...]
    how: How
    looked_at: int


class StudySearch:
    """Searches among the studies of one state."""

    def __init__(
        self,
        images: VectorSearch,
        means: GroupLevel,
        members: Members,
        passing: Ids | None,
        candidates: int,
        *,
        exact: bool = True,
    ) -> None:
        """`means` and `members` are up to date; `passing` are the studies that may answer; all, if None.
        `exact` finds the candidates exactly. Without a spread of the means, nothing is proven.
        """
        self._exact = exact
        self._images = images
        self._means = means
        self._members = members
        self._passing = None if passing is None else np.isin(means.index.ids, passing)
        self._candidates = candidates

    def nearest(self, queries: Vectors, k: int, without: Ids) -> StudyHits:
        """The min(k, m) studies most like a set of images, float32 [i, d], among m that are not `without`."""
        eligible = ~np.isin(self._means.index.ids, without)
        if self._passing is not None:
            eligible &= self._passing
        count = int(eligible.sum())
        k = min(k, count)
        if not k:
            return self._ranked(queries, np.empty(0, np.int64), 0, "compared", 0)
        fetch = min(max(k, self._candidates), count)
        mean = queries.mean(axis=0, dtype=np.float64)
        query = unit_length(mean[None].astype(np.float32))
        found = self._means.index.search(query, fetch, eligible, exact=self._exact)
        chosen = self._thinned(queries, found.ids[0], k)
        scores = rough_scores(queries, self._sets(chosen))
        if fetch == count or len(chosen) < fetch or not len(self._means.spread.groups):
            how: How = "compared" if len(chosen) == count else "approximate"
            return self._ranked(queries, _near(chosen, scores, k, queries.shape[1]), k, how, len(chosen))
        least = _kth(scores, k) - _SLACK - 6 * rounding(queries.shape[1])
        others = self._means.index.ids[eligible]
        others = others[~np.isin(others, chosen)]
        left = self._possible(queries, mean, others, float(found.scores[0, -1]), least)
        if len(left) + fetch > _MORE * max(k, self._candidates) or self._cells(queries, left) > _CELLS:
            return self._ranked(queries, _near(chosen, scores, k, queries.shape[1]), k, "approximate", fetch)
        if len(left):
            chosen = np.concatenate([chosen, left])
            scores = np.concatenate([scores, rough_scores(queries, self._sets(left))])
        return self._ranked(queries, _near(chosen, scores, k, queries.shape[1]), k, "proven", len(chosen))

    # Which studies are compared

    def _possible(
        self, queries: Vectors, mean: NDArray[np.float64], others: Ids, highest: float, least: float
    ) -> Ids:
        """The studies among `others`, whose means have a cosine of at most `highest`, with a bound that
        reaches `least`.
        """
        held = self._means.spread.of(others)
        length = float(np.sqrt(mean @ mean))
        radius = float(np.sqrt(np.square(queries - mean).sum(axis=1).max()))
        far = (held.radius + radius) / 2
        left = others[length * held.length * max(highest, 0.0) + far >= least]
        kept = [np.empty(0, np.int64)]
        # Where so many are left, they will not all be compared.
        for start in range(0, len(left) if len(left) < 64 * self._candidates else 0, _ROWS):
            part = left[start : start + _ROWS]
            held = self._means.spread.of(part)
            products = self._means.index.rows(part) @ mean.astype(np.float32) * held.length
            kept.append(part[products + (held.radius + radius) / 2 >= least])
        return np.concatenate(kept) if len(kept) > 1 else left

    def _thinned(self, queries: Vectors, studies: Ids, k: int) -> Ids:
        """As many of the studies as can be compared in reasonable time, at least 4 k: the most alike by some
        images of each.
        """
        if self._cells(queries, studies) <= _CELLS:
            return studies
        few = queries[spread(len(queries), _THIN)]
        rough = rough_scores(few, self._sets(studies).thinned(_THIN))
        order = np.lexsort((studies, -rough))
        cells = np.cumsum(self._members.sizes(studies[order])) * len(queries)
        return studies[order[: max(4 * k, int((cells <= _CELLS).sum()))]]

    def _cells(self, queries: Vectors, studies: Ids) -> int:
        return int(self._members.sizes(studies).sum()) * len(queries)

    # What is found

    def _ranked(self, queries: Vectors, studies: Ids, k: int, how: How, looked_at: int) -> StudyHits:
        """The k best of some studies by exact scores."""
        matches = [
            best_matches(queries, self._image_ids(study), self._images.rows) for study in studies.tolist()
        ]
        scores = np.array([one.score for one in matches], np.float32)
        order = np.lexsort((studies, -scores))[:k].tolist()
        return StudyHits(scores[order], studies[order], tuple(matches[row] for row in order), how, looked_at)

    def _image_ids(self, study: int) -> Ids:
        return self._images.ids[self._members.of(study)]

    def _sets(self, studies: Ids) -> StoredSets:
        return StoredSets.of([self._image_ids(study) for study in studies.tolist()], self._images.rows)


def _near(studies: Ids, scores: NDArray[np.float64], k: int, dimension: int) -> Ids:
    """Those that may be among the k best, by scores in float32."""
    return studies[scores >= _kth(scores, k) - 4 * rounding(dimension)]


def _kth(scores: NDArray[np.float64], k: int) -> float:
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
