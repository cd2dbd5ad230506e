"""Tables of the service beside those of the cases: jobs, API keys, the audit trail, files being written.

They are written without raising `home.version` (`Database.write_service_tables`): nothing in them changes a
search, and a long ingest transaction on PostgreSQL does not block them.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    String,
    Table,
)

from medsiglip.index.catalogue.schema import Id, PathJson, UtcDateTime, metadata

# `worker` and `attempts` together identify one run of a job: what a worker reports of a run that it has lost
# is ignored. `change` rises with every step, so that followers notice changes with one small query.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("parameters", PathJson, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("stage", String, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("key_id", String),
    Column("idempotency_key", String, unique=True),
    Column("priority", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("worker", String),
    Column("cancel_requested", Boolean, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
)
Index("ix_jobs_status", jobs.c.status, jobs.c.created_at)

# `secret_hash` is SHA-256 of 256 random bits, which no dictionary attack reaches: a slow hash would only slow
# down every request.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# Files that are being written, by glob relative to the home; the row is deleted in the transaction that adds
# the file's own row. A row that stays is the only proof that a file is left from an interrupted write.
unfinished_files = Table(
    "unfinished_files",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("pattern", String, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

# Append-only: triggers refuse every UPDATE and DELETE. `hash` covers the row and the hash before it.
audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", Id, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("studies", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    Column("request_id", String),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

# How far the trail was brought elsewhere: `sequence` is the last event that was. One process holds a way at a
# time, until `held_until` at most.
audit_exports = Table(
    "audit_exports",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("holder", String(32)),
    Column("held_until", UtcDateTime),
)
