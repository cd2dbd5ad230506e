"""The highest id that a row has had: ids are reserved before the transaction that gives them to rows.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    connection = op.get_bind()
    if "newest_id" not in {column["name"] for column in sa.inspect(connection).get_columns("home")}:
        op.add_column("home", sa.Column("newest_id", sa.BigInteger(), nullable=False, server_default="0"))
    connection.execute(sa.text("UPDATE home SET newest_id = next_id - 1"))
