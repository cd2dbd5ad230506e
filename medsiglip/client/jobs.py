"""The part of `Client` that lists jobs and starts them again."""

from __future__ import annotations

from medsiglip.answers.jobs import Job, JobList, JobStatus
from medsiglip.client.connection import Connection, read
from medsiglip.client.paths import path_of


class JobMethods:
    """Methods of `Client`."""

    _service: Connection

    def jobs(
        self,
        *,
        status: JobStatus | None = None,
        kind: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobList:
        """A page of the jobs of this key, or for `admin` of all, the newest first and without results.
        `cursor` is that of the page before.
        """
        return read(
            JobList, self._service.get("/v1/jobs", status=status, kind=kind, limit=limit, cursor=cursor)
        )

    def retry(self, job_id: str) -> Job:
        """Start a job again that failed or was cancelled, as a new job."""
        return read(Job, self._service.post(path_of("jobs", ("job_id", "identifier", job_id), "retry")))
