"""Studies ranked set to set: by how alike their images and those of the question are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medsiglip.index.search.ranking.ranking import ScoredRanking
from medsiglip.index.search.set_to_set import BestMatches, best_matches
from medsiglip.index.search_records import MatchedImages
from medsiglip.index.vectors import Ids, Vectors

# Matched images that a study shows at most.
_PAIRS = 8


@dataclass(slots=True, eq=False)
class SetRanking(ScoredRanking):
    """Studies by the symmetric mean of the best matches between their images and `images`, unit-length
    float32 [m, d]; see `medsiglip.index.search.set_to_set`.
    """

    images: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _matches: dict[int, BestMatches] = field(default_factory=dict)

    def scores(self, row_ids: Ids) -> Vectors:
        """As in `ScoredRanking`."""
        return np.array([self._match(row_id).score for row_id in row_ids.tolist()], np.float32)

    def nearest(self, count: int, without: Ids) -> tuple[Vectors, Ids]:
        """As in `ScoredRanking`."""
        held = self.answerers
        [found] = held.loaded.nearest_studies([self.images], count, held.allowed, [without])
        self.effort.add(found.how, found.looked_at)
        self._matches.update(zip(found.ids.tolist(), found.matches, strict=True))
        return found.scores, found.ids

    def pairs(self, row_id: int) -> tuple[MatchedImages, ...]:
        """As in `Ranking`, the closest first."""
        matches = self._match(row_id)
        closest = np.argsort(-matches.cosine, kind="stable")[:_PAIRS].tolist()
        return tuple(
            MatchedImages(query, int(matches.ids[matches.place[query]]), float(matches.cosine[query]))
            for query in closest
        )

    def best_images(self, row_ids: Ids) -> Ids:
        """As in `Ranking`: the allowed image of each study that is most like one of the question's."""
        held, best = self.answerers, []
        for row_id in row_ids.tolist():
            matches = self._match(row_id)
            ids, cosines = matches.ids, matches.best
            if held.allowed is not None:
                cosines = np.where(held.allowed[held.loaded.places.of(ids)], cosines, -np.inf)
            best.append(int(ids[cosines.argmax()]))
        return np.array(best, np.int64)

    def _match(self, row_id: int) -> BestMatches:
        """How the images of a study, as of the first page, match those of the question. `nearest` finds no
        study that changed since.
        """
        if row_id not in self._matches:
            ids = self.answerers.members(row_id)
            self._matches[row_id] = best_matches(self.images, ids, self.answerers.loaded.index.rows)
        return self._matches[row_id]
