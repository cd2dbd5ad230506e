"""Long work: a job and how far it is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from medsiglip.answers.answer import Answer, ErrorDetail

JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]


class JobProgress(Answer):
    """How far a job is; `total` is null while it is unknown."""

    done: int
    total: int | None
    stage: str


class Job(Answer):
    """A job: `result` is what its kind of work answers, once it is `done`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0f8fad5bd9cb469fa16570867728950e",
                "kind": "ingest",
                "status": "running",
                "progress": {"done": 120, "total": 480, "stage": "embedding"},
                "result": None,
                "error": None,
                "attempts": 1,
                "created_at": "2026-03-01T08:00:00+00:00",
                "started_at": "2026-03-01T08:00:01+00:00",
                "finished_at": None,
            }
        }
    )

    id: str
    kind: str
    status: JobStatus
    progress: JobProgress
    result: Any = None
    error: ErrorDetail | None = Field(None, description="why it failed, or why it is tried again")
    attempts: int = Field(description="how often a worker began it")
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ("done", "failed", "cancelled")


class JobList(Answer):
    """Jobs, the newest first; `cursor` asks for the next page, and is null at the end."""

    jobs: tuple[Job, ...]
    cursor: str | None = None
