"""Progress of jobs as server-sent events (WHATWG HTML, section 9.2); one query serves all followers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job, JobQueue

POLL_SECONDS = 0.5
HEARTBEAT_S = 15.0
_log = logging.getLogger("medsiglip.http")

JobView = Callable[[Job], dict[str, Any]]


@dataclass(slots=True)
class _Followed:
    job: Job
    news: asyncio.Event
    followers: int = 0


class JobFollowers:
    """The clients that follow jobs, on one event loop.

    However many there are, there is one small query each `POLL_SECONDS`, and none while there are none.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._followed: dict[str, _Followed] = {}
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(self, job: Job, view: JobView, last_seen: int | None = None) -> AsyncIterator[str]:
        """Events of a job from `job` on, until it has ended: `progress`, then `done`, `failed` or
        `cancelled`; the id is the change number. A client that has seen change `last_seen` gets only later
        events. Comments in between keep the connection alive.
        """
        followed = self._join(job)
        try:
            while True:
                job, news = followed.job, followed.news
                if last_seen is None or job.change > last_seen:
                    # The last one is recorded in the audit trail, which may wait for the database.
                    yield await asyncio.to_thread(event_of, job, view)
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
        """End every stream, so that the server can stop; clients reconnect with the last change they saw."""
        self._closed = True
        for followed in self._followed.values():
            followed.news.set()

    def _join(self, job: Job) -> _Followed:
        followed = self._followed.setdefault(job.id, _Followed(job, asyncio.Event()))
        if job.change > followed.job.change:
            self._publish(followed, job)
        followed.followers += 1
        if self._closed:
            followed.news.set()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        return followed

    def _leave(self, job_id: str) -> None:
        followed = self._followed[job_id]
        followed.followers -= 1
        if not followed.followers:
            del self._followed[job_id]

    async def _poll(self) -> None:
        while self._followed and not self._closed:
            await asyncio.sleep(POLL_SECONDS)
            try:
                for job in await asyncio.to_thread(self._changed, self._seen()):
                    if job.id in self._followed:
                        self._publish(self._followed[job.id], job)
            except CatalogError as error:  # the database may come back
                _log.warning("the state of followed jobs could not be read (%s)", error.code)

    def _seen(self) -> dict[str, int]:
        return {job_id: followed.job.change for job_id, followed in self._followed.items()}

    def _changed(self, seen: dict[str, int]) -> list[Job]:
        changes = self._queue.changes(seen)
        return [self._queue.get(job_id) for job_id, change in changes.items() if change != seen[job_id]]

    @staticmethod
    def _publish(followed: _Followed, job: Job) -> None:
        followed.job = job
        followed.news.set()
        followed.news = asyncio.Event()


def event_of(job: Job, view: JobView) -> str:
    """One event: its name, the change number as its id, and the job."""
    name = job.status if job.is_final else "progress"
    return f"event: {name}\nid: {job.change}\ndata: {json.dumps(view(job))}\n\n"


async def _within(news: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return False
    return True
