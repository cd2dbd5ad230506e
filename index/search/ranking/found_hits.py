"""Hits as an answer shows them: the rows that were chosen, with what the catalogue has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from medsiglip.index.catalogue.case_queries import ImageRow, hits, image_rows
from medsiglip.index.records import Level
from medsiglip.index.search.ranking.ranking import Ranking
from medsiglip.index.search.ranking.selection import Chosen, Duplicate
from medsiglip.index.search_records import CollapsedRow, FoundHit


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What was chosen from a ranking, and the image that each row and each listed duplicate is shown by."""

    ranking: Ranking
    chosen: Chosen
    images: dict[int, int]

    @classmethod
    def of(cls, ranking: Ranking, chosen: Chosen) -> Shown:
        """Find the images, while the vectors are at hand."""
        behind = [one.row_id for few in chosen.duplicates.values() for one in few]
        rows = chosen.ids + behind
        best = ranking.best_images(np.array(rows, np.int64)).tolist()
        return cls(ranking, chosen, dict(zip(rows, best, strict=True)))

    def duplicates(self, row_id: int) -> list[Duplicate]:
        """The duplicates of a hit that are listed."""
        return self.chosen.duplicates.get(row_id, [])


def found_hits(
    connection: Connection, level: Level, shown: Sequence[Shown], ranks: Sequence[int]
) -> list[tuple[FoundHit, ...]]:
    """The hits of each question, ranked behind the `ranks` hits of earlier pages."""
    chosen = [one.chosen for one in shown]
    answers = [
        (one.chosen.scores, one.chosen.ids, [one.images[row_id] for row_id in one.chosen.ids])
        for one in shown
    ]
    behind = {
        one.images[duplicate.row_id]
        for one in shown
        for row_id in one.chosen.duplicates
        for duplicate in one.duplicates(row_id)
    }
    described = hits(connection, level, answers)
    rows = image_rows(connection, behind) if behind else {}
    found = []
    for one, theirs, rank, picked in zip(shown, described, ranks, chosen, strict=True):
        row_of = {one.images[row_id]: row_id for row_id in picked.ids}
        found.append(
            tuple(
                FoundHit(
                    replace(hit, rank=rank + hit.rank),
                    picked.collapsed[row_of[hit.image_id]],
                    _collapsed(one, row_of[hit.image_id], rows),
                    one.ranking.pairs(row_of[hit.image_id]),
                    one.ranking.found_by(row_of[hit.image_id]),
                )
                for hit in theirs
            )
        )
    return found


def _collapsed(shown: Shown, row_id: int, rows: dict[int, ImageRow]) -> tuple[CollapsedRow, ...]:
    found = []
    for one in shown.duplicates(row_id):
        row = rows.get(shown.images[one.row_id])
        if row is not None:
            found.append(
                CollapsedRow(
                    row.image_id,
                    row.study_instance_uid,
                    row.series_instance_uid,
                    one.score,
                    one.cosine,
                    one.same_pixels,
                )
            )
    return tuple(found)
