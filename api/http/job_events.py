"""News of jobs as server-sent events (WHATWG HTML, section 9.2); one look at the catalogue serves all."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job, JobQueue

LOOK_EVERY_S = 0.5
HEARTBEAT_S = 15.0
_log = logging.getLogger("medsiglip.http")

Shown = Callable[[Job], dict[str, Any]]


@dataclass(slots=True)
class _Followed:
    job: Job
    news: asyncio.Event
    followers: int = 0


class JobFollowers:
    """Who follows which job, on one event loop. However many follow, there is one small query each
    `LOOK_EVERY_S`, and none while nobody does.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._followed: dict[str, _Followed] = {}
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(self, job: Job, shown: Shown, last_seen: int | None = None) -> AsyncIterator[str]:
        """Events of a job from `job` on, until it has ended: `progress`, then `done`, `failed` or
        `cancelled`; the id is the change number. A client that has seen change `last_seen` is told only
        what came since. Comments in between keep the connection alive.
        """
        followed = self._join(job)
        try:
            while True:
                job, news = followed.job, followed.news
                if last_seen is None or job.change > last_seen:
                    yield event_of(job, shown)
                    last_seen = job.change
                if job.is_final:
                    return
                while not await _within(news, HEARTBEAT_S):
                    yield ": still here\n\n"
                if self._closed:
                    return
        finally:
            self._leave(job.id)

    def close(self) -> None:
        """End every stream, so that the server can; clients come back with the last change they saw."""
        self._closed = True
        for followed in self._followed.values():
            followed.news.set()

    def _join(self, job: Job) -> _Followed:
        followed = self._followed.setdefault(job.id, _Followed(job, asyncio.Event()))
        if job.change > followed.job.change:
            self._tell(followed, job)
        followed.followers += 1
        if self._closed:
            followed.news.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return followed

    def _leave(self, job_id: str) -> None:
        followed = self._followed[job_id]
        followed.followers -= 1
        if not followed.followers:
            del self._followed[job_id]

    async def _look(self) -> None:
        while self._followed and not self._closed:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                for job in await asyncio.to_thread(self._changed, self._seen()):
                    if job.id in self._followed:
                        self._tell(self._followed[job.id], job)
            except CatalogError as error:  # the database may come back
                _log.warning("followed jobs could not be looked at (%s)", error.code)

    def _seen(self) -> dict[str, int]:
        return {job_id: followed.job.change for job_id, followed in self._followed.items()}

    def _changed(self, seen: dict[str, int]) -> list[Job]:
        changes = self._queue.changes(seen)
        return [self._queue.get(job_id) for job_id, change in changes.items() if change != seen[job_id]]

    @staticmethod
    def _tell(followed: _Followed, job: Job) -> None:
        followed.job = job
        followed.news.set()
        followed.news = asyncio.Event()


def event_of(job: Job, shown: Shown) -> str:
    """One event: its name, the change number as its id, and the job."""
    name = job.status if job.is_final else "progress"
    return f"event: {name}\nid: {job.change}\ndata: {json.dumps(shown(job))}\n\n"


async def _within(news: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return False
    return True
