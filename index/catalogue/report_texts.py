"""Report texts of studies, imported or accepted by a person, and the search for words in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, or_, select

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.draft_schema import report_texts
from medsiglip.index.catalogue.one_of import listed, one_of
from medsiglip.index.catalogue.schema import images, studies

Source = Literal["accepted", "import", "metadata"]
LONGEST_PHRASE = 1000
"""Characters of a phrase to search for: each may be compared at every place of a text."""
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

    def counts(self) -> dict[str, int]:
        """Number of texts by source."""
        statement = select(report_texts.c.source, func.count()).group_by(report_texts.c.source)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}


def write_texts(connection: Connection, texts: Mapping[int, str], source: Source) -> None:
    """Store the texts of studies, by row id, inside a write transaction; an empty text deletes it."""
    theirs = one_of(report_texts.c.study_id, list(texts))
    connection.execute(delete(report_texts).where(theirs, report_texts.c.source == source))
    shared = {"source": source, "added_at": now_of(connection)}
    rows = [
        {**shared, "study_id": study_id, "text": text.strip(), "words": words_of(text)}
        for study_id, text in texts.items()
        if text.strip()
    ]
    if rows:
        connection.execute(insert(report_texts), rows)


def words_of(text: str) -> str:
    """The words of a text in lower case, each between spaces; empty if there is none."""
    words = re.findall(r"\w+", text.casefold())
    return f" {' '.join(words)} " if words else ""


def says_any(phrases: Collection[str]) -> ColumnElement[bool]:
    """The condition that a text of an image's study contains one of the phrases, word by word; an empty
    phrase means a study without any text. Never NULL.
    """
    wanted = [words for phrase in phrases if (words := words_of(phrase))]
    ways: list[ColumnElement[bool]] = []
    if len(wanted) < len(phrases):
        texts = select(report_texts.c.study_id).where(report_texts.c.study_id == images.c.study_id)
        ways.append(~texts.correlate(images).exists())
    if wanted:
        # Of LIKE's wildcards a word may hold the underscore alone.
        looked_for = listed([words.replace("_", "/_") for words in wanted])
        holding = report_texts.c.words.contains(looked_for.c.value, escape="/")
        found = select(report_texts.c.study_id).select_from(report_texts.join(looked_for, holding))
        ways.append(images.c.study_id.in_(found))
    return or_(*ways)


def study_ids(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, int]:
    """Row ids of studies by UID."""
    theirs = one_of(studies.c.study_instance_uid, list(study_instance_uids))
    statement = select(studies.c.study_instance_uid, studies.c.id).where(theirs)
    return {row[0]: row[1] for row in connection.execute(statement)}
