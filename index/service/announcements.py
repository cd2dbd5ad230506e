"""What a listener outside of the home is to be told, as jobs, so that it is tried again while that is away.

Announcements are hints, whose number is bounded: whoever missed some asks for the newest cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home, images, studies
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.job_submission import insert_jobs

JOB_KIND = "webhook"
MOST_WAITING = 1000
"""Announcements that wait at most; further ones are left out."""


class AnnouncementStore:
    """The announcements of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest_image(self) -> int:
        """An id below those of all images to come, as ids rise in the order of commits."""
        with self._database.read() as connection:
            return int(connection.execute(select(home.c.newest_id)).scalar_one())

    def studies_after(self, image_id: int) -> list[str]:
        """The studies that gained an image after that one."""
        # By image ids, so that the cost grows with the new images and not with the archive.
        gained = select(images.c.study_id).where(images.c.id > image_id)
        statement = (
            select(studies.c.study_instance_uid).where(studies.c.id.in_(gained)).order_by(studies.c.id)
        )
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def add(self, announcements: Sequence[Mapping[str, Any]]) -> int:
        """Let these be told; returns how many were left out because too many wait."""
        with self._database.write_service_tables() as connection:
            return insert_announcements(connection, announcements)


def insert_announcements(connection: Connection, announcements: Sequence[Mapping[str, Any]]) -> int:
    """As `AnnouncementStore.add`, inside the caller's write transaction."""
    if not announcements:
        return 0
    waits = (jobs.c.kind == JOB_KIND, jobs.c.status == "queued")
    count = connection.execute(select(func.count()).select_from(jobs).where(*waits)).scalar_one()
    room = max(MOST_WAITING - count, 0)
    insert_jobs(connection, JOB_KIND, announcements[:room])
    return len(announcements) - min(room, len(announcements))
