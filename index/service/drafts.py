"""Drafts as rows, each with its history; their content is the business of `medsiglip.medgemma`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, insert, or_, select, update

from medsiglip.index.catalogue.case_queries import unknown_study
from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.draft_schema import (
    SUPERSEDED_BY,
    SUPERSEDES,
    draft_citations,
    draft_revisions,
    drafts,
    report_texts,
)
from medsiglip.index.catalogue.full_text.whole_words import words_of
from medsiglip.index.catalogue.report_texts import study_ids, write_texts
from medsiglip.index.catalogue.schema import studies
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.draft_verdicts import HasVerdict
from medsiglip.index.service.newest_first import Place, newest_first
from medsiglip.index.storage.forgotten import without_studies


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """One step of a draft's history; `at` is set by the catalogue."""

    status: str
    by: str
    at: datetime | None = None
    text: str | None = field(default=None, repr=False)
    difference: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DraftRecord:
    """A draft as the catalogue holds it; `payload` is JSON, `revision` the number of steps taken so far."""

    id: str
    study_instance_uid: str
    route: str | None
    generator: str
    status: str
    text: str = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    revision: int
    created_at: datetime
    history: tuple[RevisionRecord, ...] = ()


class DraftStore:
    """The drafts of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        draft_id: str,
        study_instance_uid: str,
        *,
        route: str | None,
        generator: str,
        text: str,
        payload: Mapping[str, Any],
        cited: Collection[str] = (),
        by: str,
    ) -> DraftRecord:
        """Store a new draft, or return the one that has this id already.

        What the payload has of studies among the `cited` that were deleted meanwhile is left out. Raises
        `CatalogError` `unknown-study` if the study itself was deleted.
        """
        with self._database.write() as connection:
            former = _find(connection, draft_id)
            if former is not None:
                return former
            ids = study_ids(connection, {study_instance_uid, *cited})
            if study_instance_uid not in ids:
                raise unknown_study(study_instance_uid)
            gone = [uid for uid in cited if uid not in ids]
            kept_text, kept = without_studies(text, payload, gone) if gone else (text, dict(payload))
            now = now_of(connection)
            row = {
                "id": draft_id,
                "study_id": ids[study_instance_uid],
                "route": route,
                "generator": generator,
                "status": "draft",
                "text": kept_text,
                "payload": kept,
                "revision": 1,
                "created_at": now,
            }
            connection.execute(insert(drafts).values(**row))
            _add_revision(connection, draft_id, 1, RevisionRecord("draft", by, text=kept_text))
            others = sorted({ids[uid] for uid in cited if uid in ids} - {ids[study_instance_uid]})
            if others:
                rows = [{"draft_id": draft_id, "study_id": study_id} for study_id in others]
                connection.execute(insert(draft_citations), rows)
            return _needed(connection, draft_id)

    def get(self, draft_id: str) -> DraftRecord:
        """One draft with its history; raises `CatalogError` `unknown-draft`."""
        with self._database.read() as connection:
            return _needed(connection, draft_id)

    def named(self, beginning: str, end: str = "", limit: int = 10) -> list[str]:
        """The ids of drafts that begin and end so, in order, at most `limit`."""
        statement = select(drafts.c.id).where(
            drafts.c.id.startswith(beginning, autoescape=True), drafts.c.id.endswith(end, autoescape=True)
        )
        with self._database.read() as connection:
            return list(connection.execute(statement.order_by(drafts.c.id).limit(limit)).scalars())

    def listed(
        self,
        *,
        status: str | None = None,
        study_instance_uid: str | None = None,
        route: str | None = None,
        words: str | None = None,
        verdict: str | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> list[DraftRecord]:
        """Drafts without their histories, the newest first; `words` are looked for, next to each other, in
        the text of the study's report and of the draft, and `verdict` is one that a check of a sentence has.
        With `after`, the place of another, those that come after it.
        """
        statement = newest_first(_DRAFT, drafts, after, limit, status=status, route=route)
        if study_instance_uid is not None:
            statement = statement.where(studies.c.study_instance_uid == study_instance_uid)
        if words is not None:
            reports = select(report_texts.c.study_id).where(
                report_texts.c.study_id == drafts.c.study_id,
                report_texts.c.words.contains(words_of(words), autoescape=True),
            )
            in_text = func.lower(drafts.c.text).contains(words.strip().lower(), autoescape=True)
            statement = statement.where(or_(reports.exists(), in_text))
        if verdict is not None:
            statement = statement.where(HasVerdict(drafts.c.payload, verdict))
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(statement)]

    def counts(self) -> dict[str, int]:
        """Number of drafts by status."""
        statement = select(drafts.c.status, func.count()).group_by(drafts.c.status)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def advance(
        self,
        former: DraftRecord,
        step: RevisionRecord,
        payload: Mapping[str, Any] | None = None,
        *,
        report: str | None = None,
        before: RevisionRecord | None = None,
        also: Callable[[Connection], None] = lambda connection: None,
    ) -> DraftRecord:
        """Add a step to the draft as it was read; a `report` becomes the study's report text, and the draft
        supersedes those of the study that were accepted before it: the payloads of both say so. `before` is a
        step that comes first, as when a text is edited and accepted at once; `also` is done in the same
        transaction.

        Raises `CatalogError` `draft-changed` if another step was added since it was read, `unknown-draft`.
        """
        with self._database.write() as connection:
            steps = [step] if before is None else [before, step]
            values: dict[str, Any] = {"status": step.status, "revision": former.revision + len(steps)}
            if step.text is not None:
                values["text"] = step.text
            if payload is not None:
                values["payload"] = dict(payload)
            earlier = [] if report is None else _accepted(connection, former)
            if earlier:
                kept = former.payload if payload is None else payload
                values["payload"] = {**kept, SUPERSEDES: earlier[0].id}
            as_read = (drafts.c.id == former.id, drafts.c.revision == former.revision)
            if connection.execute(update(drafts).where(*as_read).values(**values)).rowcount != 1:
                current = _needed(connection, former.id)
                raise CatalogError(
                    "draft-changed",
                    f"The draft {former.id} was changed meanwhile and is {current.status} now; look at it "
                    "again.",
                )
            _supersede(connection, earlier, former.id)
            for number, one in enumerate(steps, former.revision + 1):
                _add_revision(connection, former.id, number, one)
            if report is not None:
                study_id = study_ids(connection, [former.study_instance_uid])[former.study_instance_uid]
                write_texts(connection, {study_id: report}, "accepted")
            also(connection)
            return _needed(connection, former.id)


_DRAFT: Select[Any] = select(
    drafts.c.id,
    studies.c.study_instance_uid,
    drafts.c.route,
    drafts.c.generator,
    drafts.c.status,
    drafts.c.text,
    drafts.c.payload,
    drafts.c.revision,
    drafts.c.created_at,
).join(studies, drafts.c.study_id == studies.c.id)
_STEP = ("status", "by", "at", "text", "difference", "reason")


def _accepted(connection: Connection, draft: DraftRecord) -> list[Row[Any]]:
    """The other accepted drafts of the study that no other has superseded, the last accepted first."""
    accepted = draft_revisions.c.status == "accepted"
    statement: Select[Any] = (
        select(drafts.c.id, drafts.c.payload)
        .join(studies, drafts.c.study_id == studies.c.id)
        .join(draft_revisions, and_(draft_revisions.c.draft_id == drafts.c.id, accepted))
        .where(studies.c.study_instance_uid == draft.study_instance_uid, drafts.c.status == "accepted")
        .where(drafts.c.id != draft.id)
        .order_by(draft_revisions.c.at.desc(), drafts.c.created_at.desc(), drafts.c.id)
    )
    rows = connection.execute(statement).all()
    return [row for row in rows if row.payload.get(SUPERSEDED_BY) is None]


def _supersede(connection: Connection, earlier: Sequence[Row[Any]], draft_id: str) -> None:
    for row in earlier:
        changed = {**row.payload, SUPERSEDED_BY: draft_id}
        connection.execute(update(drafts).where(drafts.c.id == row.id).values(payload=changed))


def _add_revision(connection: Connection, draft_id: str, number: int, step: RevisionRecord) -> None:
    row = {name: getattr(step, name) for name in _STEP}
    row |= {"draft_id": draft_id, "number": number, "at": now_of(connection)}
    connection.execute(insert(draft_revisions).values(**row))


def _find(connection: Connection, draft_id: str) -> DraftRecord | None:
    row = connection.execute(_DRAFT.where(drafts.c.id == draft_id)).one_or_none()
    if row is None:
        return None
    steps = select(*(draft_revisions.c[name] for name in _STEP)).where(draft_revisions.c.draft_id == draft_id)
    history = connection.execute(steps.order_by(draft_revisions.c.number))
    return _record(row, tuple(RevisionRecord(*step) for step in history))


def _needed(connection: Connection, draft_id: str) -> DraftRecord:
    found = _find(connection, draft_id)
    if found is None:
        raise CatalogError(
            "unknown-draft", f"There is no draft {draft_id}; `report list` shows what there is."
        )
    return found


def _record(row: Row[Any], history: tuple[RevisionRecord, ...] = ()) -> DraftRecord:
    return DraftRecord(**row._mapping, history=history)
