"""Report texts of studies, imported or accepted by a person, and the search for words in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, case, delete, func, insert, select

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.draft_schema import report_texts
from medsiglip.index.catalogue.full_text.search_tables import add_terms, purge_removed_terms
from medsiglip.index.catalogue.full_text.whole_words import words_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.report_search import WordHit, find_words
from medsiglip.index.catalogue.rows import chunks, storable
from medsiglip.index.catalogue.schema import studies

Source = Literal["accepted", "import", "metadata"]
# Words and terms of so many texts are in memory at once.
_BATCH = 5000
# Accepted texts come before imported ones, and reports before captions.
_ORDER = case({"accepted": 0, "import": 1}, value=report_texts.c.source, else_=2)


@dataclass(frozen=True, slots=True)
class ReportText:
    """The report of a study, and where it came from."""

    study_instance_uid: str
    text: str
    source: Source


class ReportTextStore:
    """The report texts of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, texts: Mapping[str, str], source: Source) -> tuple[str, ...]:
        """Store the text of each study, by UID, in place of the earlier text of this source; an empty text
        deletes it. Returns the UIDs without a study.
        """
        with self._database.write() as connection:
            ids = study_ids(connection, texts)
            write_texts(connection, {study_id: texts[uid] for uid, study_id in ids.items()}, source)
        return tuple(uid for uid in texts if uid not in ids)

    def of(self, study_instance_uids: Collection[str]) -> dict[str, ReportText]:
        """The report of each study that has one, by UID: accepted here, else imported, else the caption."""
        statement = (
            select(studies.c.study_instance_uid, report_texts.c.text, report_texts.c.source)
            .join(studies, report_texts.c.study_id == studies.c.id)
            .order_by(_ORDER.desc())
        )
        theirs = one_of(studies.c.study_instance_uid, list(study_instance_uids))
        with self._database.read() as connection:
            return {row[0]: ReportText(*row) for row in connection.execute(statement.where(theirs))}

    def find(
        self,
        words: str,
        *,
        limit: int = 10,
        where: Sequence[str] = (),
        exclude_patients: Collection[str] = (),
    ) -> list[WordHit]:
        """The `limit` studies whose texts fit the words best: those with more of the words first, then higher
        scores, then lower row ids. `medsiglip.index.catalogue.full_text.words_query` says what may be asked.

        `where` selects studies of which an image passes all filters. Raises `CatalogError` `bad-query`,
        `bad-filter`.
        """
        with self._database.read() as connection:
            return find_words(connection, words, limit=limit, where=where, exclude_patients=exclude_patients)

    def at_least(self, most: int) -> int:
        """How many texts there are, counted no further than `most`."""
        some = select(report_texts.c.study_id).limit(most).subquery()
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def counts(self) -> dict[str, int]:
        """Number of texts by source."""
        statement = select(report_texts.c.source, func.count()).group_by(report_texts.c.source)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}


def write_texts(connection: Connection, texts: Mapping[int, str], source: Source) -> None:
    """Store the texts of studies, by row id, inside a write transaction; an empty text deletes it."""
    theirs = one_of(report_texts.c.study_id, list(texts))
    former = connection.execute(delete(report_texts).where(theirs, report_texts.c.source == source))
    if former.rowcount:
        purge_removed_terms(connection)
    shared = {"source": source, "added_at": now_of(connection)}
    given = {study_id: kept for study_id, text in texts.items() if (kept := storable(text).strip())}
    for some in chunks(given.items(), _BATCH):
        rows = [
            {**shared, "study_id": study_id, "text": text, "words": words_of(text)} for study_id, text in some
        ]
        connection.execute(insert(report_texts), rows)
        add_terms(connection, [(study_id, source, text) for study_id, text in some])


def study_ids(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, int]:
    """Row ids of studies by UID."""
    if not study_instance_uids:
        return {}
    theirs = one_of(studies.c.study_instance_uid, list(study_instance_uids))
    statement = select(studies.c.study_instance_uid, studies.c.id).where(theirs)
    return {row[0]: row[1] for row in connection.execute(statement)}
