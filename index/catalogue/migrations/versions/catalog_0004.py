"""Routes and what they decided, drafts with their history, and the report texts of cases.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables."""
    _add_routes()
    _add_drafts()
    op.create_table(
        "report_texts",
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "source", name="pk_report_texts"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_report_texts_study_id_studies"),
        sa.CheckConstraint(
            "source IN ('accepted', 'import', 'metadata')", name=op.f("ck_report_texts_source")
        ),
    )


def _add_routes() -> None:
    op.create_table(
        "routes",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("since_image_id", _ID, nullable=False),
        sa.Column("seen_image_id", _ID, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_routes"),
    )
    op.create_table(
        "route_decisions",
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("job_id", sa.String(32)),
        sa.Column("decided_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("route", "study_id", name="pk_route_decisions"),
        sa.ForeignKeyConstraint(["route"], ["routes.name"], name="fk_route_decisions_route_routes"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_route_decisions_study_id_studies"),
        sa.CheckConstraint("outcome IN ('sent', 'held')", name=op.f("ck_route_decisions_outcome")),
    )
    op.create_index("ix_route_decisions_study_id", "route_decisions", ["study_id"])


def _add_drafts() -> None:
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("route", sa.String(64)),
        sa.Column("generator", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drafts"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_drafts_study_id_studies"),
        sa.CheckConstraint(
            "status IN ('draft', 'edited', 'accepted', 'rejected')", name=op.f("ck_drafts_status")
        ),
    )
    op.create_index("ix_drafts_study_id", "drafts", ["study_id"])
    op.create_index("ix_drafts_created_at", "drafts", ["created_at"])
    op.create_table(
        "draft_revisions",
        sa.Column("draft_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("text", sa.String()),
        sa.Column("difference", sa.String()),
        sa.Column("reason", sa.String()),
        sa.PrimaryKeyConstraint("draft_id", "number", name="pk_draft_revisions"),
        sa.ForeignKeyConstraint(["draft_id"], ["drafts.id"], name="fk_draft_revisions_draft_id_drafts"),
    )
    op.create_table(
        "draft_citations",
        sa.Column("draft_id", sa.String(32), nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("draft_id", "study_id", name="pk_draft_citations"),
        sa.ForeignKeyConstraint(["draft_id"], ["drafts.id"], name="fk_draft_citations_draft_id_drafts"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_draft_citations_study_id_studies"),
    )
    op.create_index("ix_draft_citations_study_id", "draft_citations", ["study_id"])


def downgrade() -> None:
    """Remove the tables and what they hold."""
    tables = ("report_texts", "draft_citations", "draft_revisions", "drafts", "route_decisions", "routes")
    for table in tables:
        op.drop_table(table)
