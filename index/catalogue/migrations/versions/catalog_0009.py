"""Checksums of shards.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `shards.checksum`, not known of shards that are there already."""
    inspector = sa.inspect(op.get_bind())
    if "checksum" not in {column["name"] for column in inspector.get_columns("shards")}:
        op.add_column("shards", sa.Column("checksum", sa.String()))
