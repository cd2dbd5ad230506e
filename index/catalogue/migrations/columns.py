"""Columns that steps need before the revision that brings them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def add_newest_id(connection: sa.Connection) -> None:
    """Add `home.newest_id`, unless it is there: whatever gives rows their ids sets it."""
    if "newest_id" not in {column["name"] for column in sa.inspect(connection).get_columns("home")}:
        op.add_column("home", sa.Column("newest_id", sa.BigInteger(), nullable=False, server_default="0"))
