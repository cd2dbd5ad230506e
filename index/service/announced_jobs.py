"""Jobs for what is announced again and again, such as a study that grows: one waits at a time.

What is announced while a job waits is done by that job; what is announced later gets another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.job_submission import insert_jobs, lock_submissions

PAUSE_SECONDS = 3.0
"""How long a job waits for more of the same, since announcements come in bursts."""


class AnnouncedJobs:
    """Such jobs of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, kind: str, parameters: Mapping[str, Any], about: str, key_id: str | None) -> str:
        """The id of the job of this key that waits for the thing `about`, or of a new one."""
        # No UID in what is left where the study is forgotten.
        name = f"announced:{sha256(f'{kind} {key_id} {about}'.encode()).hexdigest()}"
        with self._database.write_service_tables() as connection:
            lock_submissions(connection)
            former = connection.execute(
                select(jobs.c.id, jobs.c.status).where(jobs.c.idempotency_key == name)
            ).first()
            if former is not None and former.status == "queued":
                return str(former.id)
            if former is not None:
                connection.execute(update(jobs).where(jobs.c.id == former.id).values(idempotency_key=None))
            later = now_of(connection) + timedelta(seconds=PAUSE_SECONDS)
            submission = {"key_id": key_id, "idempotency_key": name, "not_before": later}
            [job_id] = insert_jobs(connection, kind, [parameters], **submission)
            return job_id
