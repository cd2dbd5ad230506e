"""The vector engine of a home, and what it has not been told yet.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.schema import vector_changes

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table."""
    connection = op.get_bind()
    held = {column["name"] for column in sa.inspect(connection).get_columns("home")}
    if "vector_engine" not in held:
        op.add_column("home", sa.Column("vector_engine", sa.String()))
    vector_changes.create(connection, checkfirst=True)
