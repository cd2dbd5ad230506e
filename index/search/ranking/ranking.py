"""The rows of a level in the order in which they answer one query, read as far as they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.engines.engine import PushedFilter
from medsiglip.index.records import Level
from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.vector_search import Mask
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.search_records import How, MatchedImages
from medsiglip.index.vectors import Ids, Vectors, mean_directions

# Scores this close are one: a query's own image goes before copies of it.
_SAME_SCORE = 1e-5
# With up to this many excluded rows per query, all queries are one batch that fetches as many rows more.
BATCHED_EXCLUSIONS = 1000
_NONE: Ids = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Answerers:
    """What may answer: the images `allowed`, bool [n] in the order of the index, all if None, but none with
    an id above `newest`, where that is given. Series and studies are then as they were without those images.
    All allowed images pass the `filters`.
    """

    loaded: LoadedSpace
    level: Level
    allowed: Mask | None = None
    newest: int | None = None
    filters: tuple[PushedFilter, ...] = ()

    def at_page(self, newest: int) -> Answerers:
        """The same without the images that came after the first page."""
        ids = self.loaded.index.ids
        if not len(ids) or ids.max() <= newest:
            return self
        old = ids <= newest
        allowed = old if self.allowed is None else self.allowed & old
        return Answerers(self.loaded, self.level, allowed, newest, self.filters)

    @cached_property
    def changed(self) -> Ids:
        """The series or studies that have images from before and after `newest`, ascending."""
        if self.newest is None or self.level == "image":
            return np.empty(0, np.int64)
        ids = self.loaded.index.ids
        late = np.unique(self.loaded.owners(self.level, ids[ids > self.newest]))
        assert self.allowed is not None
        early = np.unique(self.loaded.owners(self.level, ids[self.allowed]))
        return np.intersect1d(late, early)

    @cached_property
    def allowed_ids(self) -> Ids:
        """The ids of the images that may answer."""
        ids = self.loaded.index.ids
        return ids if self.allowed is None else ids[self.allowed]

    def held(self, row_ids: Ids) -> Ids:
        """Those of the rows that exist, ascending."""
        mask = self.loaded.mask(self.level, row_ids)
        return np.unique(self.loaded.owners(self.level, self.loaded.index.ids[mask]))

    def members(self, row_id: int) -> Ids:
        """The image ids of a series or study that exists, ascending, without those after `newest`."""
        _, members = self.loaded.group_level(self.level)
        ids = self.loaded.index.ids[members.of(row_id)]
        return ids if self.newest is None else ids[ids <= self.newest]

    def vectors(self, row_ids: Ids) -> Vectors:
        """The vectors of rows, float32 [m, d]."""
        found = self.loaded.vectors(self.level, row_ids)
        changed = np.flatnonzero(np.isin(row_ids, self.changed))
        if len(changed):
            found = found.copy()
            groups = [self.loaded.index.rows(self.members(int(row_ids[place]))) for place in changed]
            found[changed] = mean_directions(groups)
        return found

    def may_answer(self, row_id: int) -> bool:
        """Whether a row has an image that may answer."""
        mask = self.loaded.mask(self.level, np.array([row_id], np.int64))
        return bool((mask if self.allowed is None else mask & self.allowed).any())


class Ranked(NamedTuple):
    """The beginning of a ranking: `scores` float32 [n] and row ids int64 [n]. It is `whole` if nothing comes
    after it.
    """

    scores: Vectors
    ids: Ids
    whole: bool


@dataclass(slots=True)
class Effort:
    """How a ranking came about, and in how many vectors."""

    how: How = "compared"
    looked_at: int = 0

    def add(self, how: How, looked_at: int) -> None:
        """Count one more search; the answer is as good as the worst of them."""
        if not self.looked_at or how == "approximate" or (how == "compared" and self.how == "proven"):
            self.how = how
        self.looked_at += looked_at


class Ranking(Protocol):
    """Rows by rank: by score, equal ones by row id, if it `is_by_score`; but the question's own row goes
    first if it `own_is_first`.
    """

    @property
    def answerers(self) -> Answerers:
        """What may answer."""

    @property
    def own(self) -> int | None:
        """The row id of the question's own image or study, where it may go first."""

    @property
    def own_is_first(self) -> bool:
        """Whether the question's own row is as good as the best, and so goes first."""

    @property
    def is_by_score(self) -> bool:
        """Whether the rank is that of the score."""

    @property
    def effort(self) -> Effort:
        """How the ranking came about so far."""

    def first(self, count: int) -> Ranked:
        """At least the first `count` rows, or all."""

    def pairs(self, row_id: int) -> tuple[MatchedImages, ...]:
        """The images of the question and of a row that matched."""

    def best_images(self, row_ids: Ids) -> Ids:
        """The image that each row is shown by."""

    def found_by(self, row_id: int) -> dict[str, int] | None:
        """The rank of a row in each of several rankings, from 1; None if there is only one."""


@dataclass(slots=True, eq=False)
class ScoredRanking(ABC):
    """Rows by their score with a unit-length `query` [d], but those `without`; `own` is the row id of the
    question's own image or study.
    """

    answerers: Answerers
    query: Vectors
    without: Ids
    exact: bool
    own: int | None = None
    effort: Effort = field(default_factory=Effort)
    is_by_score: bool = True
    own_is_first: bool = False
    _ranked: Ranked | None = None
    _changed: tuple[Vectors, Ids] | None = None

    @abstractmethod
    def scores(self, row_ids: Ids) -> Vectors:
        """The scores of rows, float32 [m]."""

    @abstractmethod
    def nearest(self, count: int, without: Ids) -> tuple[Vectors, Ids]:
        """Scores and ids of the `count` best but those `without`."""

    @abstractmethod
    def pairs(self, row_id: int) -> tuple[MatchedImages, ...]:
        """As in `Ranking`."""

    @abstractmethod
    def best_images(self, row_ids: Ids) -> Ids:
        """As in `Ranking`."""

    def first(self, count: int) -> Ranked:
        """As in `Ranking`; each search fetches twice as many rows as the last, so that all together cost at
        most twice the longest.
        """
        held = self._ranked
        if held is not None and (held.whole or len(held.ids) >= count):
            return held
        wanted = max(count, 2 * len(held.ids)) if held is not None else count
        scores, ids = self.nearest(wanted, np.concatenate([self.without, self.changed[1]]))
        return self.take(scores, ids, len(ids) < wanted)

    @property
    def changed(self) -> tuple[Vectors, Ids]:
        """Scores and ids of the rows that changed since the first page, as they were then."""
        if self._changed is None:
            ids = np.setdiff1d(self.answerers.changed, self.without) if len(self.answerers.changed) else _NONE
            self._changed = (self.scores(ids) if len(ids) else np.empty(0, np.float32)), ids
        return self._changed

    def take(self, scores: Vectors, ids: Ids, whole: bool) -> Ranked:
        """Make this, without the rows that changed, the beginning of the ranking; the own row goes first
        where it is as good as the best.
        """
        more, which = self.changed
        if len(which):
            last = (more > scores[-1]) | ((more == scores[-1]) & (which < ids[-1])) if not whole else True
            known = np.broadcast_to(last, len(which))
            scores, ids = np.concatenate([scores, more[known]]), np.concatenate([ids, which[known]])
            order = np.lexsort((ids, -scores))
            scores, ids = scores[order], ids[order]
        self.own_is_first = len(ids) > 0 and self._is_own_first(float(scores[0]))
        if self.own_is_first and self.own is not None:
            other = ids != self.own
            own = np.array([self.own], np.int64)
            scores, ids = np.concatenate([self.scores(own), scores[other]]), np.append(own, ids[other])
        self._ranked = Ranked(scores, ids, whole)
        return self._ranked

    def _is_own_first(self, best: float) -> bool:
        if self.own is None or self.own in self.without or not self.answerers.may_answer(self.own):
            return False
        return bool(self.scores(np.array([self.own], np.int64))[0] >= best - _SAME_SCORE)

    def found_by(self, row_id: int) -> dict[str, int] | None:
        """As in `Ranking`: by this ranking alone."""
        return None


class VectorRanking(ScoredRanking):
    """Rows by the cosine of their vectors with the query."""

    def scores(self, row_ids: Ids) -> Vectors:
        """As in `ScoredRanking`, the same to the last bit as those of `VectorSearch`."""
        vectors = self.answerers.vectors(row_ids)
        return exact_scores(vectors, np.broadcast_to(self.query, vectors.shape))

    def nearest(self, count: int, without: Ids) -> tuple[Vectors, Ids]:
        """As in `ScoredRanking`."""
        held = self.answerers
        found = held.loaded.nearest(
            held.level,
            self.query[None],
            count,
            held.allowed,
            without=without,
            exact=self.exact,
            filters=held.filters,
        )
        self.effort.add(found.how[0], int(found.looked_at[0]))
        return found.scores[0], found.ids[0]

    def pairs(self, row_id: int) -> tuple[MatchedImages, ...]:
        """As in `Ranking`: vectors of means match in no pairs."""
        return ()

    def best_images(self, row_ids: Ids) -> Ids:
        """As in `Ranking`: the allowed image of each row that is most like the query."""
        held = self.answerers
        return held.loaded.best_images(held.level, self.query, row_ids, held.allowed)


def begin_together(rankings: Sequence[VectorRanking], count: int) -> None:
    """Read the first `count` rows of several rankings of the same answerers in one search, where that is
    cheaper than one by one.
    """
    widest = max((len(one.without) + len(one.changed[1]) for one in rankings), default=0)
    if not rankings or widest > BATCHED_EXCLUSIONS:
        return
    held = rankings[0].answerers
    queries = np.stack([one.query for one in rankings])
    found = held.loaded.nearest(
        held.level, queries, count + widest, held.allowed, exact=rankings[0].exact, filters=held.filters
    )
    for number, one in enumerate(rankings):
        ids: NDArray[np.int64] = found.ids[number]
        keep = ~np.isin(ids, np.concatenate([one.without, one.changed[1]]))
        one.effort.add(found.how[number], int(found.looked_at[number]))
        one.take(found.scores[number][keep], ids[keep], len(ids) < count + widest)
