"""Ingests of what a sender was told is safe here: their files outlive jobs that failed.

Such a job has the parameter `answered`. One that failed or was cancelled is followed by another one for the
same folder, `received`, so that what was acknowledged comes in as soon as what was wrong is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import literal, select

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.service_schema import jobs

MOST_AT_ONCE = 100
REST_SECONDS = 3600.0
"""How long a job rests before the next one for its folder."""


_AGAIN = "receive-again:"


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

    def abandoned(self, rest_seconds: float = REST_SECONDS) -> list[tuple[str, dict[str, Any]]]:
        """Ids and parameters of the last jobs of such folders, of those that failed or were cancelled so long
        ago: the oldest first, at most `MOST_AT_ONCE`.
        """
        later = jobs.alias()
        followed = select(later.c.id).where(later.c.idempotency_key == literal(_AGAIN).concat(jobs.c.id))
        with self._database.read() as connection:
            rested = now_of(connection) - timedelta(seconds=rest_seconds)
            statement = (
                select(jobs.c.id, jobs.c.parameters)
                .where(jobs.c.kind == "ingest", jobs.c.status.in_(("failed", "cancelled")))
                .where(jobs.c.parameters["answered"].as_boolean(), jobs.c.finished_at <= rested)
                .where(~followed.exists())
                .order_by(jobs.c.finished_at, jobs.c.id)
                .limit(MOST_AT_ONCE)
            )
            return [(row.id, dict(row.parameters)) for row in connection.execute(statement)]
