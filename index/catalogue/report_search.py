"""The search for words in report texts: the studies whose texts fit best."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, select, true

from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.draft_schema import report_terms
from medsiglip.index.catalogue.filter_queries import parsed
from medsiglip.index.catalogue.full_text.ranking import rank
from medsiglip.index.catalogue.full_text.words_query import read_words
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, patients, studies
from medsiglip.index.errors import CatalogError


@dataclass(frozen=True, slots=True)
class WordHit:
    """A study whose text holds words that were looked for.

    `score` is BM25 (medsiglip.index.catalogue.full_text.ranking), above 0; `matched` are the words, phrases
    and beginnings that the text holds, as they were written; `source` says which of the study's texts it is:
    `accepted`, `import` or `metadata`.
    """

    study_id: int
    study_instance_uid: str
    score: float
    matched: tuple[str, ...]
    source: str


def find_words(
    connection: Connection,
    words: str,
    *,
    limit: int = 10,
    where: Sequence[str] = (),
    exclude_patients: Collection[str] = (),
) -> list[WordHit]:
    """The studies whose texts fit the words best; see `ReportTextStore.find`."""
    query = read_words(words)
    if limit < 1:
        raise CatalogError("bad-query", f"Ask for at least one study, not for {limit}.")
    passing = and_(_passing(connection, where), _of_others(exclude_patients))
    ranked = rank(connection, query, passing, limit)
    ids = [one.study_id for one in ranked]
    named = select(studies.c.id, studies.c.study_instance_uid).where(one_of(studies.c.id, ids))
    uids = {row.id: row.study_instance_uid for row in connection.execute(named)}
    return [
        WordHit(
            one.study_id,
            uids[one.study_id],
            one.score,
            tuple(query.wanted[place].written for place in one.found),
            one.source,
        )
        for one in ranked
    ]


def _passing(connection: Connection, where: Sequence[str]) -> ColumnElement[bool]:
    """The condition that an image of a text's study passes the filters."""
    chosen = parsed(connection, where)
    if not chosen:
        return true()
    theirs = select(images.c.study_id).select_from(filters.joined(chosen))
    theirs = theirs.where(images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen))
    return report_terms.c.study_id.in_(theirs)


def _of_others(patient_keys: Collection[str]) -> ColumnElement[bool]:
    """The condition that a text is about none of these patients."""
    if not patient_keys:
        return true()
    theirs = select(studies.c.id).join(patients).where(one_of(patients.c.patient_key, list(patient_keys)))
    return report_terms.c.study_id.not_in(theirs)
