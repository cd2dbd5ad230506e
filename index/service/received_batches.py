"""Ingests of what a sender was told is safe here: their files outlive jobs that failed.

Such a job has the parameter `answered`. One that failed or was cancelled is followed by another one for the
same folder, `received`, so that what was acknowledged comes in as soon as what was wrong is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, literal, or_, select

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.schema import from_stored
from medsiglip.index.catalogue.service_schema import jobs

MOST_AT_ONCE = 100
"""Jobs that follow others which are begun at one time."""
REST_SECONDS = 3600.0
"""How long a job rests before the next one for its folder."""


_AGAIN = "receive-again:"
_PAGE = 100


def next_key(job_id: str) -> str:
    """The idempotency key of the job that follows this one."""
    return _AGAIN + job_id


def is_answered(parameters: Mapping[str, Any]) -> bool:
    """Whether the sender of these files was told that they are stored."""
    return bool(parameters.get("answered"))


class ReceivedBatches:
    """The ingests of one catalogue whose files were acknowledged."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def abandoned(self, rest_seconds: float = REST_SECONDS) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids and parameters of the last jobs of such folders, of those that failed or were cancelled so long
        ago: the oldest first. The folders of some may be gone.
        """
        later = jobs.alias()
        followed = select(later.c.id).where(later.c.idempotency_key == literal(_AGAIN).concat(jobs.c.id))
        with self._database.read() as connection:
            rested = now_of(connection) - timedelta(seconds=rest_seconds)
        statement = (
            select(jobs.c.id, jobs.c.parameters, jobs.c.finished_at)
            .where(_answered, jobs.c.status.in_(("failed", "cancelled")))
            .where(jobs.c.finished_at <= rested, ~followed.exists())
            .order_by(jobs.c.finished_at, jobs.c.id)
            .limit(_PAGE)
        )
        page = statement
        while True:
            with self._database.read() as connection:
                rows = connection.execute(page).all()
            yield from ((row.id, dict(row.parameters)) for row in rows)
            if len(rows) < _PAGE:
                return
            at, last = rows[-1].finished_at, rows[-1].id
            behind = and_(jobs.c.finished_at == at, jobs.c.id > last)
            page = statement.where(or_(jobs.c.finished_at > at, behind))

    def unread(self) -> dict[str, str]:
        """The folders of such ingests that no worker runs and that are not done, by the job's id."""
        folder = jobs.c.parameters["received"].as_string()
        waiting = jobs.c.status.in_(("queued", "failed", "cancelled"))
        with self._database.read() as connection:
            found = connection.execute(select(jobs.c.id, folder).where(_answered, waiting))
            return {job_id: from_stored(path) for job_id, path in found}

    def done(self) -> dict[str, str]:
        """The folders of all uploads that were ingested, by the job's id."""
        folder = jobs.c.parameters["received"].as_string()
        ended = (jobs.c.kind == "ingest", jobs.c.status == "done", folder.is_not(None))
        with self._database.read() as connection:
            found = connection.execute(select(jobs.c.id, folder).where(*ended))
            return {job_id: from_stored(path) for job_id, path in found}


_answered = and_(jobs.c.kind == "ingest", jobs.c.parameters["answered"].as_boolean())
