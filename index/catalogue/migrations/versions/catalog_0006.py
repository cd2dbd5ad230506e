"""The class column of a label.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `labels.class_column`; of classes that are stored already it is not known."""
    held = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("labels")}
    if "class_column" not in held:
        op.add_column("labels", sa.Column("class_column", sa.String()))
        op.create_index("ix_labels_class_column", "labels", ["class_column"])
