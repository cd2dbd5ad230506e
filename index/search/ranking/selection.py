"""Choosing hits from a ranking: at most so many of a patient, duplicates collapsed, and unlike each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.catalogue.hit_facts import HitFacts
from medsiglip.index.search.ranking.ranking import Ranking
from medsiglip.index.search_records import SearchOptions
from medsiglip.index.vectors import Ids, Vectors

WINDOW = 100
"""Among how many of the best that are left the next of diverse hits is chosen."""
LISTED = 10
"""How many duplicates of a hit are listed; others are counted."""
# How many rows are looked up at once; more where all of the last ones were refused.
_BLOCK = 256
_FEW = 32
_MOST = 4096
Key = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row that stands behind a hit: its id and score, and its cosine with the hit."""

    row_id: int
    score: float
    cosine: float
    same_pixels: bool


@dataclass(slots=True)
class Chosen:
    """Rows in the order of their choice, with scores; by row id the first of their duplicates, and how many
    there are. `seen` rows of the ranking were looked at; it `is_over` if nothing is left to choose.
    """

    ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    duplicates: dict[int, list[Duplicate]] = field(default_factory=dict)
    collapsed: Counter[int] = field(default_factory=Counter)
    seen: int = 0
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier pages showed: rows that still exist, and the place behind which this page goes on."""

    shown: Ids
    key: Key | None


@dataclass(frozen=True, slots=True)
class Lookups:
    """Facts and vectors of rows by id; rows that are gone have no facts."""

    facts: Callable[[Sequence[int]], Mapping[int, HitFacts]]
    vectors: Callable[[Ids], Vectors]


@dataclass(slots=True, eq=False)
class _Candidate:
    """A row that may be chosen, with its highest cosine with a hit, and that hit."""

    row_id: int
    score: float
    facts: HitFacts
    vector: NDArray[np.float64] | None
    closest: float = -np.inf
    closest_hit: int | None = None


def first_count(options: SearchOptions) -> int:
    """How many rows of a ranking are needed at first."""
    return max(_BLOCK, options.k) if options.chooses else options.k + 1


def plain(ranking: Ranking, options: SearchOptions, before: Before, depth: int) -> Chosen:
    """The best `options.k` rows behind those that were shown, `depth` of them. One more is looked for, to
    know whether there is a next page.
    """
    chosen = Chosen()
    wanted = depth + options.k + 1
    while True:
        ranked = ranking.first(wanted)
        keep = _behind(ranked.scores, ranked.ids, before, ranking.is_by_score)
        if options.min_score is not None:
            keep &= ranked.scores >= options.min_score
        ids, scores = ranked.ids[keep], ranked.scores[keep]
        if len(ids) > options.k or ranked.whole or _is_below(ranked.scores, options, ranking.is_by_score):
            chosen.ids, chosen.scores = ids[: options.k].tolist(), scores[: options.k].tolist()
            chosen.seen, chosen.is_over = len(ranked.ids), len(ids) <= options.k
            return chosen
        wanted = 2 * len(ranked.ids)


def _is_below(scores: Vectors, options: SearchOptions, is_by_score: bool) -> bool:
    """Whether nothing behind these scores reaches the least that is asked for."""
    return is_by_score and options.min_score is not None and bool(scores[-1] < options.min_score)


def _behind(scores: Vectors, ids: Ids, before: Before, is_by_score: bool) -> NDArray[np.bool_]:
    keep: NDArray[np.bool_] = ~np.isin(ids, before.shown)
    if before.key is not None and is_by_score:
        score, last = np.float32(before.key[0]), before.key[1]
        keep &= (scores < score) | ((scores == score) & (ids > last))
    return keep


class Selection:
    """Hits chosen one by one. The choice depends only on the ranking and on the hits chosen before, so that a
    later page goes on as if there were no pages.
    """

    def __init__(self, ranking: Ranking, options: SearchOptions, before: Before, lookups: Lookups) -> None:
        self._ranking = ranking
        self._options = options
        self._before = before
        self._lookups = lookups
        self._window = WINDOW if options.diversity else 1
        # Each hit is compared with all that wait, of which diverse hits need few.
        self._least = self._block = min(_BLOCK, _FEW) if options.diversity else _BLOCK
        self._needs_vectors = options.dedupe is not None or options.diversity > 0
        self._limits = tuple(options.limits.items())
        self._counts: Counter[tuple[str, int | str]] = Counter()
        self._pictures: dict[tuple[str, int], int] = {}
        self._hit_ids: list[int] = []
        self._places: dict[int, int] = {}
        self._hit_vectors: list[NDArray[np.float64]] = []
        self._waiting: list[_Candidate] = []
        self._read = 0
        self._is_read = False
        self._earlier = frozenset(before.shown.tolist())
        self._chosen = Chosen()

    def run(self) -> Chosen:
        """Choose `options.k` hits, or as many as there are."""
        self._take_shown()
        chosen = self._chosen
        while len(chosen.ids) < self._options.k:
            self._fill()
            if not self._waiting:
                chosen.is_over = True
                break
            best = self._best()
            chosen.ids.append(best.row_id)
            chosen.scores.append(best.score)
            self._waiting.remove(best)
            self._accept(best)
        chosen.seen = self._read
        chosen.is_over = chosen.is_over or (self._is_read and not self._waiting)
        return chosen

    def _take_shown(self) -> None:
        """Count the hits of earlier pages."""
        shown = self._before.shown
        for candidate in self._candidates(shown, np.zeros(len(shown), np.float32)):
            self._accept(candidate)

    def _candidates(self, ids: Ids, scores: Vectors) -> list[_Candidate]:
        """Rows with what is known of them; those that are gone from the catalogue are left out."""
        facts = self._lookups.facts(ids.tolist())
        vectors = self._lookups.vectors(ids).astype(np.float64) if self._needs_vectors and len(ids) else None
        return [
            _Candidate(row_id, score, facts[row_id], None if vectors is None else vectors[place])
            for place, (row_id, score) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True))
            if row_id in facts
        ]

    def _accept(self, hit: _Candidate) -> None:
        """Count a hit, and take those that may not follow it from the waiting."""
        for kind, _ in self._limits:
            self._counts.update((kind, one) for one in hit.facts.counts.get(kind, ()))
        self._places[hit.row_id] = len(self._hit_ids)
        self._hit_ids.append(hit.row_id)
        if hit.facts.picture is not None:
            self._pictures.setdefault(hit.facts.picture, hit.row_id)
        if hit.vector is not None:
            self._hit_vectors.append(hit.vector)
            self._compare(self._waiting, [hit.row_id], hit.vector[None])
        if self._options.dedupe is not None or self._is_full(hit):
            self._waiting = [one for one in self._waiting if self._may_follow(one)]

    @staticmethod
    def _compare(candidates: Sequence[_Candidate], hit_ids: Sequence[int], hits: NDArray[np.float64]) -> None:
        """Note the highest cosine of each candidate with hits, rounded as scores are."""
        vectors = [one.vector for one in candidates if one.vector is not None]
        if not vectors or not len(hits):
            return
        cosines = (np.stack(vectors) @ hits.T).astype(np.float32)
        for one, row in zip(candidates, cosines, strict=True):
            place = int(row.argmax())
            if row[place] > one.closest:
                one.closest, one.closest_hit = float(row[place]), hit_ids[place]

    def _may_follow(self, one: _Candidate) -> bool:
        """Whether a row may be a hit beside those that were chosen; a duplicate is noted with its hit."""
        if self._options.dedupe is not None and self._is_duplicate(one, self._options.dedupe):
            return False
        return not self._is_full(one)

    def _is_full(self, one: _Candidate) -> bool:
        """Whether there are as many hits as there may be of what a row counts for."""
        return any(
            self._counts[kind, value] >= most
            for kind, most in self._limits
            for value in one.facts.counts.get(kind, ())
        )

    def _is_duplicate(self, one: _Candidate, least: float) -> bool:
        same = self._pictures.get(one.facts.picture) if one.facts.picture is not None else None
        if same is None and one.closest < least:
            return False
        hit = one.closest_hit if same is None else same
        assert hit is not None
        assert one.vector is not None
        if hit in self._earlier:
            return True
        self._chosen.collapsed[hit] += 1
        listed = self._chosen.duplicates.setdefault(hit, [])
        if len(listed) < LISTED:
            cosine = float(np.float32(one.vector @ self._hit_vectors[self._places[hit]]))
            listed.append(Duplicate(one.row_id, one.score, cosine, same is not None))
        return True

    def _fill(self) -> None:
        """Read on until as many rows wait as the next choice is among, or all are read."""
        least = self._options.min_score
        while len(self._waiting) < self._window and not self._is_read:
            ranked = self._ranking.first(self._read + self._block)
            block = slice(self._read, self._read + self._block)
            scores, ids = ranked.scores[block], ranked.ids[block]
            self._read += len(ids)
            self._is_read = ranked.whole and self._read == len(ranked.ids)
            keep = _behind(scores, ids, self._before, self._ranking.is_by_score)
            if least is not None and len(scores):
                keep &= scores >= least
                self._is_read |= _is_below(scores, self._options, self._ranking.is_by_score)
            waiting = len(self._waiting)
            self._add(ids[keep], scores[keep])
            self._block = min(2 * self._block, _MOST) if len(self._waiting) == waiting else self._least

    def _add(self, ids: Ids, scores: Vectors) -> None:
        candidates = self._candidates(ids, scores)
        if self._needs_vectors and self._hit_vectors:
            self._compare(candidates, self._hit_ids, np.stack(self._hit_vectors))
        self._waiting += [one for one in candidates if self._may_follow(one)]

    def _best(self) -> _Candidate:
        """The next hit: of those in the window the one with the highest marginal relevance, the first of
        equal ones.
        """
        part = self._options.diversity

        def relevance(one: _Candidate) -> float:
            return (1 - part) * one.score - part * (one.closest if self._hit_ids else 0.0)

        return max(self._waiting[: self._window], key=relevance) if part else self._waiting[0]
