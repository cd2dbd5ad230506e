"""The highest id that a row has had: ids are reserved before the transaction that gives them to rows.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.migrations.columns import add_newest_id

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    connection = op.get_bind()
    add_newest_id(connection)
    connection.execute(sa.text("UPDATE home SET newest_id = next_id - 1"))
