"""Where the files lie that the rows of a home name.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is in use so far has its files in the home."""
    connection = op.get_bind()
    if "object_store" not in {column["name"] for column in sa.inspect(connection).get_columns("home")}:
        op.add_column("home", sa.Column("object_store", sa.String()))
        connection.execute(sa.text("UPDATE home SET object_store = 'file:' WHERE next_id > 1"))
