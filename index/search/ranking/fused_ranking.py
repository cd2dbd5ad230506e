"""Two rankings in one: by vectors, and by the words of reports, fused by reciprocal rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsiglip.index.search.fusion import reciprocal_rank_fusion
from medsiglip.index.search.ranking.ranking import Answerers, Effort, Ranked, ScoredRanking
from medsiglip.index.search_records import MatchedImages
from medsiglip.index.vectors import Ids

DEPTH = 1000
"""How many rows of either ranking are fused."""


class FusedRanking:
    """The rows that are among the first of a ranking by score, or belong to the `studies`, by row id, whose
    reports hold the words, best first. At image and series level a study stands for its image or series that
    is most like the query. The score of a row stays that of its vector.
    """

    own_is_first = False
    is_by_score = False

    def __init__(self, by_vector: ScoredRanking, studies: Sequence[int]) -> None:
        self.answerers: Answerers = by_vector.answerers
        self.own: int | None = None
        self._by_vector = by_vector
        nearest = by_vector.first(DEPTH)
        ids, scores = nearest.ids[:DEPTH].tolist(), nearest.scores[:DEPTH].tolist()
        self._scores: dict[int, float] = dict(zip(ids, scores, strict=True))
        by_words = self._rows(studies)
        more = np.array([one for one in by_words if one not in self._scores], np.int64)
        if len(more):
            self._scores.update(zip(more.tolist(), by_vector.scores(more).tolist(), strict=True))
        self._fused = reciprocal_rank_fusion([ids, by_words])
        self._ranks = {one.item: one.ranks for one in self._fused}

    @property
    def effort(self) -> Effort:
        """As in `Ranking`: of the ranking by score."""
        return self._by_vector.effort

    def _rows(self, studies: Sequence[int]) -> list[int]:
        """The rows that stand for studies which may answer."""
        held = self.answerers
        ids = np.array(studies, np.int64)
        images = held.loaded.index.ids if held.allowed is None else held.allowed_ids
        ids = ids[np.isin(ids, held.loaded.owners("study", images))]
        if held.level != "study" and len(ids):
            best = held.loaded.best_images("study", self._by_vector.query, ids, held.allowed)
            ids = held.loaded.owners(held.level, best)
        found: list[int] = ids[~np.isin(ids, self._by_vector.without)].tolist()
        return found

    def first(self, count: int) -> Ranked:
        """As in `Ranking`; all at once."""
        ids = [one.item for one in self._fused]
        scores = np.array([self._scores[one] for one in ids], np.float32)
        return Ranked(scores, np.array(ids, np.int64), whole=True)

    def pairs(self, row_id: int) -> tuple[MatchedImages, ...]:
        """As in `Ranking`."""
        return self._by_vector.pairs(row_id)

    def best_images(self, row_ids: Ids) -> Ids:
        """As in `Ranking`."""
        return self._by_vector.best_images(row_ids)

    def found_by(self, row_id: int) -> dict[str, int] | None:
        """As in `Ranking`: under `vector` and `words`."""
        ranks = zip(("vector", "words"), self._ranks[row_id], strict=True)
        return {name: rank for name, rank in ranks if rank is not None}
