"""The time of day of a study, and routing rules that stay as removed, with what they sent.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.schema import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `studies.study_time`, not known of studies that are in already, and `routes.removed_at`."""
    inspector = sa.inspect(op.get_bind())
    if "study_time" not in {column["name"] for column in inspector.get_columns("studies")}:
        op.add_column("studies", sa.Column("study_time", sa.String(8)))
    if "removed_at" not in {column["name"] for column in inspector.get_columns("routes")}:
        op.add_column("routes", sa.Column("removed_at", UtcDateTime()))
