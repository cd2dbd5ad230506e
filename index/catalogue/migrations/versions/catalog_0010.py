"""The algorithm of pixel hashes.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `home.older_pixel_hashes`: whether the home has pixel hashes that are not named with their
    algorithm, SHA-256, which are renewed as the same pixels are seen again.
    """
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    if "older_pixel_hashes" in {column["name"] for column in inspector.get_columns("home")}:
        return
    op.add_column(
        "home", sa.Column("older_pixel_hashes", sa.Boolean, nullable=False, server_default=sa.false())
    )
    any_instance = connection.execute(sa.text("SELECT id FROM instances LIMIT 1")).first()
    if any_instance is not None:
        connection.execute(sa.text("UPDATE home SET older_pixel_hashes = :true"), {"true": True})
