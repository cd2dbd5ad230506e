"""Search: the images, series or studies nearest to each query, with filters and without some patients."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from medsiglip.index.catalogue.case_queries import images_of_patients
from medsiglip.index.catalogue.filter_expression import read_terms
from medsiglip.index.catalogue.filter_queries import parsed, passing_by_level
from medsiglip.index.catalogue.hit_facts import HitFacts, hit_facts
from medsiglip.index.catalogue.identity import identity_of
from medsiglip.index.catalogue.report_search import find_words
from medsiglip.index.catalogue.report_texts import study_ids
from medsiglip.index.engines.engine import PushedFilter
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Hit, Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.index_kinds import device_of
from medsiglip.index.search.kinds.vector_search import Mask
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.search.ranking.found_hits import Shown, found_hits
from medsiglip.index.search.ranking.fused_ranking import DEPTH, FusedRanking
from medsiglip.index.search.ranking.pages import Page, end_warnings, next_cursor, read_page
from medsiglip.index.search.ranking.ranking import (
    Answerers,
    Ranking,
    ScoredRanking,
    VectorRanking,
    begin_together,
)
from medsiglip.index.search.ranking.selection import Chosen, Lookups, Selection, first_count, plain
from medsiglip.index.search.ranking.set_ranking import SetRanking
from medsiglip.index.search_records import Asked, Explanation, FilterStep, Found, SearchOptions
from medsiglip.index.vectors import Vectors, unit_length


def search(
    space: CurrentSpace,
    queries: Vectors,
    *,
    k: int,
    level: Level,
    where: Sequence[str],
    exclude_patients: Sequence[str | None],
) -> list[list[Hit]]:
    """The k best hits of a level for each query; see `CaseIndex.search`."""
    array = np.asarray(queries, np.float32)
    if array.ndim != 2:
        raise _misshapen(array.shape, space.needed().space.dimension)
    patients = exclude_patients or [None] * len(array)
    if len(patients) != len(array):
        raise CatalogError(
            "bad-query",
            f"{len(array)} queries cannot exclude {len(patients)} patients; give one for each, or none.",
        )
    asked = [
        Asked(query, exclude_patients=() if key is None else (key,))
        for query, key in zip(array, patients, strict=True)
    ]
    if isinstance(where, str):
        raise TypeError("where takes a sequence of expressions, not one string")
    found = find(space, asked, SearchOptions(k, level, tuple(where)))
    return [[one.hit for one in answer.hits] for answer in found]


def find(space: CurrentSpace, asked: Sequence[Asked], options: SearchOptions) -> list[Found]:
    """What is found for each question, all asked in the same way; see `CaseIndex.find`."""
    return space.settled(lambda: _find(space, asked, options))


def _find(space: CurrentSpace, asked: Sequence[Asked], options: SearchOptions) -> list[Found]:
    clock = _Stopwatch()
    with space.view() as (loaded, connection):
        _check(options)
        for one in asked:
            _check_vectors(one, loaded.active.space.dimension)
        clock.lap("load")
        names = _Names.read(connection, asked)
        allowed, steps, pushed = _passing(connection, loaded, options.where)
        clock.lap("filter")
        common = f"{loaded.active.space.name} {names.home}"
        everything = Answerers(loaded, options.level, allowed, filters=pushed)
        pages = [read_page(one, options, common, everything) for one in asked]
        rankings = _rankings(connection, asked, pages, everything, names, options)
        clock.lap("nearest")
        chosen = [
            _choose(connection, ranking, options, page) for ranking, page in zip(rankings, pages, strict=True)
        ]
        clock.lap("choose")
        shown = [Shown.of(*pair) for pair in zip(rankings, chosen, strict=True)]
        hits = found_hits(connection, options.level, shown, [page.rank for page in pages])
        clock.lap("describe")
        newest = int(loaded.index.ids.max(initial=0))
        plan = _Plan(loaded, allowed, steps)
        found = []
        for ranking, picked, theirs, page in zip(rankings, chosen, hits, pages, strict=True):
            cursor = next_cursor(page, ranking, picked, options, newest)
            why = plan.explain(options, ranking, picked, len(asked), clock.laps)
            warnings = end_warnings(cursor, page, picked)
            found.append(Found(theirs, cursor, ranking.effort.how, why, warnings))
        return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all answers of a search have in common."""

    loaded: LoadedSpace
    allowed: Mask | None
    steps: tuple[FilterStep, ...]

    def explain(
        self,
        options: SearchOptions,
        ranking: Ranking,
        chosen: Chosen,
        together: int,
        milliseconds: dict[str, float],
    ) -> Explanation:
        return Explanation(
            spec=self.loaded.index.spec,
            device=device_of(self.loaded.index),
            level=options.level,
            compare=options.compare,
            images=len(self.loaded.index.ids),
            passing=None if self.allowed is None else int(np.count_nonzero(self.allowed)),
            filters=self.steps,
            how=ranking.effort.how,
            looked_at=ranking.effort.looked_at,
            candidates=chosen.seen,
            together=together,
            milliseconds=dict(milliseconds),
        )


class _Stopwatch:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = round(1000 * (now - self._since), 3)
        self._since = now


@dataclass(frozen=True, slots=True)
class _Names:
    """The home's identity, the images of patients, and the row ids of studies."""

    home: str
    images: dict[str, list[int]]
    studies: dict[str, int]

    @classmethod
    def read(cls, connection: Connection, asked: Sequence[Asked]) -> _Names:
        patients = {key for one in asked for key in one.exclude_patients}
        own = {one.own_study for one in asked if one.own_study is not None}
        return cls(
            identity_of(connection), images_of_patients(connection, patients), study_ids(connection, own)
        )


def _rankings(
    connection: Connection,
    asked: Sequence[Asked],
    pages: Sequence[Page],
    everything: Answerers,
    names: _Names,
    options: SearchOptions,
) -> list[Ranking]:
    """The ranking of each question; those by one vector are begun in one search."""
    scored = [_scored(one, page, everything, names, options) for one, page in zip(asked, pages, strict=True)]
    alone = [
        ranking
        for ranking, one in zip(scored, asked, strict=True)
        if isinstance(ranking, VectorRanking) and one.cursor is None and one.words is None
    ]
    begin_together(alone, first_count(options))
    return [
        ranking if one.words is None else _fused(connection, one, ranking, options)
        for ranking, one in zip(scored, asked, strict=True)
    ]


def _scored(
    asked: Asked, page: Page, everything: Answerers, names: _Names, options: SearchOptions
) -> ScoredRanking:
    answerers = everything if page.cursor is None else everything.at_page(page.cursor.newest)
    gone = [image_id for key in asked.exclude_patients for image_id in names.images[key]]
    without = np.unique(answerers.loaded.owners(options.level, np.array(gone, np.int64)))
    own = {"image": asked.own_image, "study": names.studies.get(asked.own_study or "")}.get(options.level)
    if page.cursor is not None:
        if page.cursor.own_is_shown and own is not None:
            without = np.union1d(without, np.array([own], np.int64))
        own = None
    exact = not answerers.loaded.has_engine if options.exact is None else options.exact
    if options.compare == "sets":
        images = asked.vector[None] if asked.images is None else asked.images
        return SetRanking(answerers, page.query, without, exact, own, images=unit_length(np.asarray(images)))
    return VectorRanking(answerers, page.query, without, exact, own)


def _fused(
    connection: Connection, asked: Asked, ranking: ScoredRanking, options: SearchOptions
) -> FusedRanking:
    assert asked.words is not None
    found = find_words(
        connection,
        asked.words,
        limit=DEPTH,
        where=options.where,
        exclude_patients=asked.exclude_patients,
    )
    return FusedRanking(ranking, [one.study_id for one in found])


def _choose(connection: Connection, ranking: Ranking, options: SearchOptions, page: Page) -> Chosen:
    if not options.chooses:
        depth = min(page.rank, len(ranking.answerers.loaded.index.ids))
        return plain(ranking, options, page.before, depth)

    def facts(row_ids: Sequence[int]) -> dict[int, HitFacts]:
        with_labels = options.per_label is not None
        return hit_facts(connection, options.level, row_ids, with_labels=with_labels)

    lookups = Lookups(facts, ranking.answerers.vectors)
    return Selection(ranking, options, page.before, lookups).run()


def _check(options: SearchOptions) -> None:
    """Raise `CatalogError` `bad-query` for a search that cannot be."""
    if options.level not in ("image", "series", "study") or options.k < 1:
        raise CatalogError(
            "bad-query",
            f"Search for k >= 1 at level image, series or study, not for k={options.k} at level "
            f"{options.level!r}.",
        )
    if options.compare not in ("means", "sets") or (options.compare == "sets" and options.level != "study"):
        raise CatalogError(
            "bad-query",
            f"compare={options.compare!r} cannot be used at level {options.level}: choose means, or, at "
            "level study, sets.",
        )
    limited = {"image": ("series", "study"), "series": ("study",), "study": ()}[options.level]
    for name, most in options.limits.items():
        if most < 1 or (name in ("series", "study") and name not in limited):
            raise CatalogError(
                "bad-query",
                f"per_{name}={most} cannot be used at level {options.level}: give a number from 1 on, and "
                "limit the hits of what is above the level.",
            )
    shares = {"dedupe": options.dedupe, "diversity": options.diversity}
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise CatalogError("bad-query", f"{name} must lie between 0 and 1, and {share} does not.")
    if options.min_score is not None and not math.isfinite(options.min_score):
        raise CatalogError("bad-query", "min_score must be a finite number.")


def _check_vectors(asked: Asked, dimension: int) -> None:
    """Raise `CatalogError` `bad-query` for what is not float32 [d], or [m, d], with directions."""
    if asked.vector.shape != (dimension,):
        raise _misshapen(asked.vector.shape, dimension)
    vectors = asked.vector[None] if asked.images is None else asked.images
    if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != dimension:
        raise _misshapen(vectors.shape, dimension)
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all() or not asked.vector.any():
        raise CatalogError(
            "bad-query", "A query vector is zero or not finite; check the image or text it came from."
        )


def _misshapen(shape: tuple[int, ...], dimension: int) -> CatalogError:
    return CatalogError(
        "bad-query",
        f"Queries of shape {shape} do not fit this index, which holds vectors of {dimension} values; encode "
        "them with the model of the index.",
    )


def _passing(
    connection: Connection, loaded: LoadedSpace, where: Sequence[str]
) -> tuple[Mask | None, tuple[FilterStep, ...], tuple[PushedFilter, ...]]:
    """The images that pass the filters, bool [n] in the order of the loaded index; each step's part; and the
    filters as an engine takes them.
    """
    if not where:
        return None, (), ()
    chosen = parsed(connection, where)
    masks, steps = [], []
    for level, rows in passing_by_level(connection, chosen).items():
        masks.append(loaded.mask(level, rows))
        theirs = tuple(text for text, one in zip(where, chosen, strict=True) if one.level == level)
        steps.append(FilterStep(level, theirs, len(rows)))
    passing: Mask = np.logical_and.reduce(masks)
    pushed = [PushedFilter(tuple(read_terms(text)), one) for text, one in zip(where, chosen, strict=True)]
    return passing, tuple(steps), tuple(pushed)
