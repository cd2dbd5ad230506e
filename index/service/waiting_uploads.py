"""Small uploads that wait, which a worker ingests together with another one of the same sender.

While one worker has them they are held: `not_before` lies in the future, so that no other claims them. When
the worker is killed the hold ends by itself, as a lease does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.service_schema import jobs

FEW_FILES = 50
"""Files of a small ingest, as its parameter `files` says; without this parameter none is small."""
MOST_JOBS = 500
MOST_FILES = 1000
HOLD_SECONDS = 30.0


def is_small() -> Any:
    """The condition of jobs that are small ingests, or none at all."""
    files = jobs.c.parameters["files"].as_integer()
    return (jobs.c.kind != "ingest") | (func.coalesce(files, FEW_FILES + 1) <= FEW_FILES)


class WaitingUploads:
    """The uploads of one catalogue that wait for a worker. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, key_id: str | None) -> dict[str, Path]:
        """Hold the small uploads that wait, sent with this API key and without metadata: their folders by
        id, the oldest first, at most `MOST_JOBS` with `MOST_FILES` files.
        """
        mine = jobs.c.key_id.is_(None) if key_id is None else jobs.c.key_id == key_id
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            statement = (
                select(jobs.c.id, jobs.c.parameters)
                .where(jobs.c.kind == "ingest", is_small(), jobs.c.not_before <= now, _untried, mine)
                .order_by(jobs.c.created_at, jobs.c.id)
                .limit(MOST_JOBS)
                .with_for_update(skip_locked=True)
            )
            taken: dict[str, Path] = {}
            files = 0
            for job_id, parameters in connection.execute(statement):
                whole_folder = parameters["paths"] == [parameters.get("received")]
                if not whole_folder or parameters.get("metadata") is not None:
                    continue
                files += parameters["files"]
                if files > MOST_FILES:
                    break
                taken[job_id] = Path(parameters["received"])
            if taken:
                held = {"not_before": now + timedelta(seconds=HOLD_SECONDS)}
                connection.execute(update(jobs).where(one_of(jobs.c.id, list(taken))).values(**held))
            return taken

    def keep(self, job_ids: Sequence[str], seconds: float = HOLD_SECONDS) -> None:
        """Hold them on, for so long from now; 0 lets them go."""
        with self._database.write_service_tables() as connection:
            until = now_of(connection) + timedelta(seconds=seconds)
            theirs = and_(one_of(jobs.c.id, list(job_ids)), _untried)
            connection.execute(update(jobs).where(theirs).values(not_before=until))

    def finish(self, job_id: str, result: Any) -> bool:
        """The upload was ingested; False if it was cancelled meanwhile, or if another worker has it."""
        done = {"status": "done", "result": result, "change": jobs.c.change + 1}
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            files = result["files"]
            counted = {"done": files, "total": files, "started_at": now, "finished_at": now}
            statement = update(jobs).where(jobs.c.id == job_id, _untried).values(**done, **counted)
            return connection.execute(statement).rowcount == 1


_untried = and_(jobs.c.status == "queued", jobs.c.attempts == 0)
