"""Tables of routing rules, drafts and report texts.

They refer to rows of studies and are written in `Database.write` transactions, so that a deletion of a study
and a draft of it wait for each other.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
)

from medsiglip.index.catalogue.schema import Id, UtcDateTime, metadata

# Routing rules. A rule looks at images with an id above `since_image_id`, and has not seen those above
# `seen_image_id`. A rule that was removed stays as a row, so that its decisions count if it comes back.
routes = Table(
    "routes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("rule", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("since_image_id", Id, nullable=False),
    Column("seen_image_id", Id, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
)

# The primary key ensures that a study is sent once for each rule.
route_decisions = Table(
    "route_decisions",
    metadata,
    Column("route", String(64), ForeignKey("routes.name"), primary_key=True),
    Column("study_id", Id, ForeignKey("studies.id"), primary_key=True, index=True),
    Column("outcome", String, nullable=False),
    Column("reason", String),
    Column("job_id", String(32)),
    Column("decided_at", UtcDateTime, nullable=False),
    CheckConstraint("outcome IN ('sent', 'held')", name="outcome"),
)

SUPERSEDES, SUPERSEDED_BY = "supersedes", "superseded_by"
"""Keys of a draft's payload: the id of the study's accepted draft before this one, and after it."""

# `revision` is the number of the last row in `draft_revisions`; `payload` is the rest of the draft as JSON.
drafts = Table(
    "drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("study_id", Id, ForeignKey("studies.id"), nullable=False, index=True),
    Column("route", String(64)),
    Column("generator", String, nullable=False),
    Column("status", String, nullable=False),
    Column("text", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    CheckConstraint("status IN ('draft', 'edited', 'accepted', 'rejected')", name="status"),
)

draft_revisions = Table(
    "draft_revisions",
    metadata,
    Column("draft_id", String(32), ForeignKey("drafts.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("text", String),
    Column("difference", String),
    Column("reason", String),
)

# The studies of other cases that a draft's evidence names.
draft_citations = Table(
    "draft_citations",
    metadata,
    Column("draft_id", String(32), ForeignKey("drafts.id"), primary_key=True),
    Column("study_id", Id, ForeignKey("studies.id"), primary_key=True, index=True),
)

# `words` is the text as lower-case words with a space before and after each.
report_texts = Table(
    "report_texts",
    metadata,
    Column("study_id", Id, ForeignKey("studies.id"), primary_key=True),
    Column("source", String, primary_key=True),
    Column("text", String, nullable=False),
    Column("words", String, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    CheckConstraint("source IN ('accepted', 'import', 'metadata')", name="source"),
)

# The terms of a report text (medsiglip.index.catalogue.full_text.terms), for full-text search: each between
# blanks of its own, and their number. They go with the text. Triggers keep SQLite's FTS5 in step.
report_terms = Table(
    "report_terms",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("study_id", Id, nullable=False),
    Column("source", String, nullable=False),
    Column("terms", String, nullable=False),
    Column("term_count", Integer, nullable=False),
    ForeignKeyConstraint(
        ["study_id", "source"], ["report_texts.study_id", "report_texts.source"], ondelete="CASCADE"
    ),
)
Index("ix_report_terms_text", report_terms.c.study_id, report_terms.c.source, unique=True)
Index("ix_report_terms_term_count", report_terms.c.term_count)  # of which a search needs the mean
