"""Tables of the exchange with PACS: connections, their studies, what is sent back, and storage commitment."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from medsiglip.index.catalogue.schema import UtcDateTime, metadata

# How each PACS is reached. `options` are those of medsiglip.ingest.pacs.connection, without secrets, which
# stay in their files. `progress` is what a sync needs to go on. One process syncs a connection at a time:
# the one that holds the lease. A connection that was removed keeps its row, without options, since studies
# and deliveries are of it.
pacs_connections = Table(
    "pacs_connections",
    metadata,
    Column("name", String, primary_key=True),
    Column("options", JSON(none_as_null=True), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("failure", JSON(none_as_null=True)),
    Column("progress", JSON(none_as_null=True)),
    Column("holder", String),
    Column("lease_until", UtcDateTime),
    Column("removed_at", UtcDateTime),
)

# The studies of a PACS that were asked for, and where studies of the archive came from. `expected` is how
# many instances the PACS has said it holds, `received` how many of them are on this side. A study that was
# forgotten here keeps a row, so that no sync brings it back; its UID is then a keyed hash. `not_before` is
# when it is tried again.
pacs_studies = Table(
    "pacs_studies",
    metadata,
    Column("connection", String, ForeignKey("pacs_connections.name"), primary_key=True),
    Column("study_instance_uid", String, primary_key=True, index=True),
    Column("status", String, nullable=False),
    Column("expected", Integer),
    Column("received", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("failure", JSON(none_as_null=True)),
    Column("found_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('waiting', 'here', 'incomplete', 'failed', 'forgotten')", name="status"),
)
Index("ix_pacs_studies_due", pacs_studies.c.connection, pacs_studies.c.status, pacs_studies.c.not_before)

# Accepted drafts on their way to a PACS. `sop_instance_uid` is made once and is the same at every try, so
# that the PACS holds the document once.
pacs_deliveries = Table(
    "pacs_deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("connection", String, ForeignKey("pacs_connections.name"), nullable=False, index=True),
    Column("draft_id", String(32), nullable=False, index=True),
    Column("format", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failure", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    CheckConstraint("format IN ('sr', 'pdf')", name="format"),
    CheckConstraint("status IN ('waiting', 'sent', 'failed')", name="status"),
    UniqueConstraint("connection", "draft_id", "format"),
)

# Requests of senders to commit to instances (PS3.4, annex J), until each was answered. `instances` are pairs
# of SOP class and SOP instance UID.
storage_commitments = Table(
    "storage_commitments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("transaction_uid", String, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("instances", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    UniqueConstraint("calling_ae", "transaction_uid"),
)
