"""Small uploads that wait, which a worker ingests together with another one of the same sender.

While one worker has them they are held: `not_before` lies in the future, so that no other claims them. When
the worker is killed the hold ends by itself, as a lease does. A held upload is cancelled as a running job is,
for its files are being read: the worker that has it, or the next one, ends it unless it was ingested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, bindparam, func, null, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.received_batches import is_answered

FEW_FILES = 50
"""Files of a small ingest, as its parameter `files` says; without this parameter none is small."""
LONG_KINDS = ("ingest", "pacs-pull", "pacs-sync")
"""Kinds of jobs that let small ones run between two steps."""
MOST_JOBS = 500
MOST_FILES = 1000
HOLD_SECONDS = 30.0
# A person waits for the studies of a pull.
_OF_ANY_LENGTH = ("ingest", "pacs-sync")


def is_small() -> Any:
    """The condition of jobs that are small ingests, or of a kind that is never long."""
    files = jobs.c.parameters["files"].as_integer()
    return jobs.c.kind.not_in(_OF_ANY_LENGTH) | (func.coalesce(files, FEW_FILES + 1) <= FEW_FILES)


def is_small_job(kind: str, parameters: Mapping[str, Any]) -> bool:
    """`is_small` of one job."""
    files = parameters.get("files")
    return kind not in _OF_ANY_LENGTH or (files is not None and files <= FEW_FILES)


def is_held() -> Any:
    """The condition of uploads that a worker holds, or held until it was killed.

    One that waits after an outage has no attempts either, but the error of the last.
    """
    return and_(_untried, jobs.c.error.is_(null()), jobs.c.not_before > jobs.c.created_at)


class WaitingUploads:
    """The uploads of one catalogue that wait for a worker. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, key_id: str | None, *, answered: bool = False) -> dict[str, Path]:
        """Hold the small uploads that wait to be ingested, sent with this API key and without metadata: their
        folders by id, the oldest first, at most `MOST_JOBS` with `MOST_FILES` files. With `answered`, those
        of which a sender was told that they are stored, without it the others.
        """
        mine = jobs.c.key_id.is_(None) if key_id is None else jobs.c.key_id == key_id
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            statement = (
                select(jobs.c.id, jobs.c.parameters)
                .where(jobs.c.kind == "ingest", is_small(), mine)
                .where(_untried, jobs.c.not_before <= now, ~jobs.c.cancel_requested)
                .order_by(jobs.c.created_at, jobs.c.id)
                .limit(MOST_JOBS)
                .with_for_update(skip_locked=True)
            )
            taken: dict[str, Path] = {}
            files = 0
            for job_id, parameters in connection.execute(statement):
                whole_folder = parameters["paths"] == [parameters.get("received")]
                if not whole_folder or parameters.get("metadata") is not None or parameters.get("dry_run"):
                    continue
                if is_answered(parameters) != answered:
                    continue
                files += parameters["files"]
                if files > MOST_FILES:
                    break
                taken[job_id] = Path(parameters["received"])
            if taken:
                held = {"not_before": now + timedelta(seconds=HOLD_SECONDS), "error": None}
                connection.execute(update(jobs).where(one_of(jobs.c.id, list(taken))).values(**held))
            return taken

    def keep(self, job_ids: Sequence[str], seconds: float = HOLD_SECONDS) -> None:
        """Hold them on, for so long from now."""
        with self._database.write_service_tables() as connection:
            until = now_of(connection) + timedelta(seconds=seconds)
            theirs = and_(one_of(jobs.c.id, list(job_ids)), is_held())
            connection.execute(update(jobs).where(theirs).values(not_before=until))

    def release(self, job_ids: Sequence[str]) -> list[str]:
        """Hold them no longer, those that are held still; one that was cancelled meanwhile ends. Returns the
        ids of the cancelled ones.
        """
        theirs = and_(one_of(jobs.c.id, list(job_ids)), is_held())
        ended = {"status": "cancelled", "change": jobs.c.change + 1}
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            cancelled = and_(theirs, jobs.c.cancel_requested)
            statement = update(jobs).where(cancelled).values(**ended, finished_at=now)
            found = list(connection.execute(statement.returning(jobs.c.id)).scalars())
            connection.execute(update(jobs).where(theirs).values(not_before=jobs.c.created_at))
            return found

    def finish(self, results: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """These uploads were ingested, each with this result; returns the ids of those that are done by it.
        Others were cancelled before they were held, or another worker has them.
        """
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            theirs = and_(one_of(jobs.c.id, list(results)), _untried)
            found = set(connection.execute(select(jobs.c.id).where(theirs).with_for_update()).scalars())
            statement = (
                update(jobs)
                .where(jobs.c.id == bindparam("upload"))
                .values(status="done", change=jobs.c.change + 1, started_at=now, finished_at=now)
                .values(result=bindparam("report"), done=bindparam("files"), total=bindparam("files"))
            )
            rows = [
                {"upload": job_id, "report": result, "files": result["files"]}
                for job_id, result in results.items()
                if job_id in found
            ]
            if rows:
                connection.execute(statement, rows)
            return found


_untried = and_(jobs.c.status == "queued", jobs.c.attempts == 0)
