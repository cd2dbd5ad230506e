"""The identity that a catalogue shares with its home, the log of unfinished files, and drafts without the
words of other patients.

Until now an `evidence-only` draft quoted the reports of similar cases and of the prior study below
COMPARISON, and an accepted one was searched and quoted as a report of its own patient.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import re
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_SIMILAR = re.compile(r"Similar case of another patient, study \S+ \(similarity [^\n]*\n?")
_PRIOR = re.compile(r'(Earlier study \S+ of [^:\n]{0,30})(?:: "[^\n]*|, without a report here\.)')


def upgrade() -> None:
    """Add the column and the table, give the catalogue an identity, and shorten the drafts."""
    op.add_column("home", sa.Column("identity", sa.String(32)))
    op.execute(sa.text("UPDATE home SET identity = :identity").bindparams(identity=uuid4().hex))
    op.create_table(
        "unfinished_files",
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_unfinished_files"),
    )
    _shorten_drafts(op.get_bind())


def _shorten_drafts(connection: sa.Connection) -> None:
    drafts = sa.table(
        "drafts",
        sa.column("id", sa.String),
        sa.column("study_id", _ID),
        sa.column("generator", sa.String),
        sa.column("status", sa.String),
        sa.column("text", sa.String),
        sa.column("payload", sa.JSON),
    )
    for row in connection.execute(sa.select(drafts).where(drafts.c.generator == "evidence-only")).all():
        _shorten_revisions(connection, row.id)
        text = _own_words(row.text)
        if text == row.text:
            continue
        checks = [one for one in row.payload.get("checks") or [] if one["end"] <= _common(row.text, text)]
        details = {**(row.payload.get("details") or {}), "quotations_removed": True}
        values = {"text": text, "payload": {**row.payload, "checks": checks, "details": details}}
        connection.execute(sa.update(drafts).where(drafts.c.id == row.id).values(**values))
        if row.status == "accepted":
            _replace_report(connection, row.study_id, text)


def _shorten_revisions(connection: sa.Connection, draft_id: str) -> None:
    revisions = sa.table(
        "draft_revisions",
        sa.column("draft_id", sa.String),
        sa.column("number", sa.Integer),
        sa.column("text", sa.String),
        sa.column("difference", sa.String),
    )
    theirs = revisions.c.draft_id == draft_id
    for step in connection.execute(sa.select(revisions).where(theirs)).all():
        quotes = step.difference is not None and _own_words(step.difference) != step.difference.rstrip()
        values = {
            "text": None if step.text is None else _own_words(step.text),
            "difference": None if quotes else step.difference,
        }
        this = (theirs, revisions.c.number == step.number)
        connection.execute(sa.update(revisions).where(*this).values(**values))


def _own_words(text: str) -> str:
    """A draft's text without what was quoted of other studies."""
    kept = _PRIOR.sub(r"\1, with a report on file.", _SIMILAR.sub("", text)).rstrip()
    return re.sub(r"(?<!\n)\n*+COMPARISON:\Z", "", kept)


def _common(before: str, after: str) -> int:
    """How many characters two texts begin with together: what is checked there stands where it stood."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))


def _replace_report(connection: sa.Connection, study_id: int, text: str) -> None:
    reports = sa.table(
        "report_texts",
        sa.column("study_id", _ID),
        sa.column("source", sa.String),
        sa.column("text", sa.String),
        sa.column("words", sa.String),
    )
    words = re.findall(r"\w+", text.casefold())
    accepted = (reports.c.study_id == study_id, reports.c.source == "accepted")
    values = {"text": text.strip(), "words": f" {' '.join(words)} "}
    connection.execute(sa.update(reports).where(*accepted).values(**values))


def downgrade() -> None:
    """Remove the column and the table; what the drafts quoted is gone."""
    op.drop_table("unfinished_files")
    op.drop_column("home", "identity")
