"""Pages of one answer: what a cursor says of the earlier ones, and the cursor behind a page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from medsiglip.index.search.ranking.cursor import (
    DIGEST_BYTES,
    MOST_SHOWN,
    Cursor,
    foreign_cursor,
    read_cursor,
)
from medsiglip.index.search.ranking.ranking import Answerers, Ranking
from medsiglip.index.search.ranking.selection import Before, Chosen
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import Ids, Vectors, unit_length

# A score above all: before the first hit.
_ABOVE_ALL = 2.0
_NOTHING: Ids = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A page: its question's digest, the unit-length query [d], and what earlier pages showed, `rank` hits.
    `shown` lists those of them that a cursor listed, with those that are gone since.
    """

    digest: bytes
    query: Vectors
    before: Before
    cursor: Cursor | None = None

    @property
    def rank(self) -> int:
        """How many hits earlier pages showed."""
        return 0 if self.cursor is None else self.cursor.rank

    @property
    def shown(self) -> Ids:
        """The hits of earlier pages, where they are listed."""
        return _NOTHING if self.cursor is None else self.cursor.shown


def read_page(asked: Asked, options: SearchOptions, common: str, answerers: Answerers) -> Page:
    """The page that is asked for; `common` names the home and the space. Raises `CatalogError` `bad-cursor`.

    A question may be asked with another `k` for each page.
    """
    way = (replace(options, k=1), asked.words, asked.own_image, asked.own_study, *asked.exclude_patients)
    digest = blake2b(f"{common} {way!r} ".encode(), digest_size=DIGEST_BYTES)
    vector = np.ascontiguousarray(asked.vector, np.float32)
    digest.update(asked.question or vector.tobytes())
    if asked.cursor is None:
        return Page(digest.digest(), unit_length(vector[None])[0], Before(_NOTHING, None))
    cursor = read_cursor(asked.cursor)
    if cursor.digest != digest.digest() or len(cursor.vector) != len(vector):
        raise foreign_cursor()
    # Diverse hits are not in the order of their scores, so that none is the place to go on behind.
    key = None if options.diversity else (cursor.score, cursor.last)
    return Page(digest.digest(), cursor.vector, Before(answerers.held(cursor.shown), key), cursor)


def next_cursor(
    page: Page, ranking: Ranking, chosen: Chosen, options: SearchOptions, newest: int
) -> str | None:
    """The cursor behind a page, or None if nothing is left, or if as many hits were shown as a cursor lists;
    `newest` is the highest image id.
    """
    if chosen.is_over or not chosen.ids:
        return None
    lists = options.chooses or not ranking.is_by_score
    shown = np.union1d(page.shown, np.array(chosen.ids, np.int64)) if lists else _NOTHING
    if len(shown) > MOST_SHOWN:
        return None
    own = ranking.own if ranking.own_is_first and chosen.ids[0] == ranking.own else None
    score, last = _place_behind(page, chosen, own)
    earlier = page.cursor
    return Cursor(
        page.digest,
        page.query,
        newest if earlier is None else earlier.newest,
        page.rank + len(chosen.ids),
        score,
        last,
        shown,
        own is not None or (earlier is not None and earlier.own_is_shown),
    ).text()


def end_warnings(cursor: str | None, page: Page, chosen: Chosen) -> tuple[str, ...]:
    """What to say where there is no next page though more is left."""
    if cursor is not None or chosen.is_over or not chosen.ids:
        return ()
    shown = page.rank + len(chosen.ids)
    return (
        f"{shown} hits were shown, and the pages of one question hold at most {MOST_SHOWN} where hits are "
        "limited, collapsed, diverse or found by words: narrow the question by a filter.",
    )


def _place_behind(page: Page, chosen: Chosen, own: int | None) -> tuple[float, int]:
    """Score and id of the last hit that is in the order of scores, which the question's own row need not
    be.
    """
    if chosen.ids[-1] != own:
        return chosen.scores[-1], chosen.ids[-1]
    return _ABOVE_ALL, 0
