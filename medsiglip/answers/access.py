"""Who may do what, who did what, and how the service does: sessions, keys, saved views, audit and health."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from medsiglip.answers.answer import Answer, Moment
from medsiglip.answers.service import IndexCounts, WorkerState


class SessionAnswer(Answer):
    """Who is signed in, with what scopes, and until when."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    expires_at: Moment | None = Field(description="when the session ends, or the key; null for never")
    open: bool = Field(False, description="no key was ever made: everybody on this machine may do all")


class Key(Answer):
    """An API key without its secret; times are in ISO 8601."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None


class MadeKey(Key):
    """A key that was just made; `key` is its secret, in this answer alone."""

    key: str


class KeyList(Answer):
    """All keys, oldest first."""

    keys: tuple[Key, ...]


class SavedView(Answer):
    """A page of the screen with its query, kept under a name."""

    name: str
    page: str
    query: str
    created_at: Moment


class SavedViewList(Answer):
    """The saved views of the caller's key, by name."""

    views: tuple[SavedView, ...]


class AuditEntry(Answer):
    """An event of the audit trail. `name` is that of the key, null for what was done at the command line, and
    where no key was made.
    """

    sequence: int
    at: str
    actor: str = Field(description="the id of a key, `local:USER` or `anonymous`")
    name: str | None
    action: str
    studies: tuple[str, ...]
    details: dict[str, Any]
    request_id: str | None


class AuditPage(Answer):
    """Events of the trail, the newest first; `before` of the next page, null at the end."""

    events: tuple[AuditEntry, ...]
    before: int | None


class HealthCheck(Answer):
    """One part of the service, tried."""

    name: str
    ok: bool
    detail: str
    required: bool


class JobCount(Answer):
    """How many jobs of a kind are in a state."""

    kind: str
    status: str
    count: int


class EncoderState(Answer):
    """The process that holds the model: `waiting` images and texts of at most `waiting_limit`."""

    state: str
    restarts: int
    waiting: int
    waiting_limit: int
    refused: int


class Setting(Answer):
    """A setting with its value; passwords are hidden."""

    name: str
    value: Any
    description: str


class Health(Answer):
    """How the service does, for its administrator."""

    ready: bool
    checks: tuple[HealthCheck, ...]
    version: str
    started_at: Moment
    home: str
    database: str = Field(examples=["sqlite", "postgresql"])
    database_seconds: float = Field(description="time of the smallest question")
    disk_free_bytes: int
    min_free_bytes: int
    encoder: EncoderState | None
    workers: tuple[WorkerState, ...]
    jobs: tuple[JobCount, ...]
    oldest_job_seconds: dict[str, float] = Field(
        description="how long the oldest queued job has waited, and the longest running one has run"
    )
    index: IndexCounts
    outdated: int = Field(description="images that an earlier version drew otherwise")
    audit_events: int
    settings: tuple[Setting, ...]


class FolderListing(Answer):
    """The folders that an ingest may name, and those below one of them; their names alone, in order."""

    roots: tuple[str, ...]
    path: str | None = Field(description="the folder that was asked for, without symbolic links")
    parent: str | None = Field(description="the folder above, if it may be named, too")
    folders: tuple[str, ...]
    files: int = Field(description="how many files the folder holds itself, as far as they were counted")
    is_cut: bool = Field(description="the folder holds more than was looked at")
