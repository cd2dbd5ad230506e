"""Report texts of cases: what came with them, and the drafts that a person accepted.

They are found by their words, and told of the cases that a search finds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, select

from index._database import Database
from index._rows import portions
from index.draft_schema import report_texts
from index.jobs import now_of
from index.schema import images, studies

Source = Literal["accepted", "import", "metadata"]
# What a person accepted here goes before what was brought, and reports before captions.
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
        """Store the text of each study, by UID, in place of what this source said before; an empty text takes
        it away. The UIDs of which there is no study.
        """
        with self._database.write() as connection:
            ids = study_ids(connection, texts)
            for uid, study_id in ids.items():
                write_text(connection, study_id, texts[uid], source)
        return tuple(uid for uid in texts if uid not in ids)

    def of(self, study_instance_uids: Collection[str]) -> dict[str, ReportText]:
        """The report of each study that has one, by UID: accepted here, else imported, else the caption."""
        statement = (
            select(studies.c.study_instance_uid, report_texts.c.text, report_texts.c.source)
            .join(studies, report_texts.c.study_id == studies.c.id)
            .order_by(_ORDER.desc())
        )
        found: dict[str, ReportText] = {}
        with self._database.read() as connection:
            for portion in portions(study_instance_uids):
                rows = connection.execute(statement.where(studies.c.study_instance_uid.in_(portion)))
                found.update((row[0], ReportText(*row)) for row in rows)
        return found

    def counts(self) -> dict[str, int]:
        """Number of texts by source."""
        statement = select(report_texts.c.source, func.count()).group_by(report_texts.c.source)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}


def write_text(connection: Connection, study_id: int, text: str, source: Source) -> None:
    """Store the text of a study inside a write transaction, or take it away if it is empty."""
    place = and_(report_texts.c.study_id == study_id, report_texts.c.source == source)
    connection.execute(delete(report_texts).where(place))
    if text.strip():
        row = {"study_id": study_id, "source": source, "text": text.strip(), "words": words_of(text)}
        connection.execute(insert(report_texts).values(**row, added_at=now_of(connection)))


def words_of(text: str) -> str:
    """The words of a text in lower case, each between spaces; empty if there is none."""
    words = re.findall(r"\w+", text.casefold())
    return f" {' '.join(words)} " if words else ""


def says_any(phrases: Collection[str]) -> ColumnElement[bool]:
    """That a text of an image's study holds one of the phrases, word by word; an empty phrase stands for a
    study without any text. Never NULL.
    """
    texts = select(report_texts.c.study_id).where(report_texts.c.study_id == images.c.study_id)
    ways = []
    for phrase in phrases:
        words = words_of(phrase)
        holding = texts.where(report_texts.c.words.contains(words, autoescape=True))
        ways.append(holding.correlate(images).exists() if words else ~texts.correlate(images).exists())
    return or_(*ways)


def study_ids(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, int]:
    """Row ids of studies by UID."""
    found: dict[str, int] = {}
    for portion in portions(study_instance_uids):
        statement = select(studies.c.study_instance_uid, studies.c.id)
        rows = connection.execute(statement.where(studies.c.study_instance_uid.in_(portion)))
        found.update((row[0], row[1]) for row in rows)
    return found
