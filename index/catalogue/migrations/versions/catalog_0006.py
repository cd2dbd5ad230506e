"""The class column of a label, and the index by which the holders of a picture are found.

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
    """Add `labels.class_column`, of stored classes not known, and the index on `instances.pixel_hash`."""
    inspector = sa.inspect(op.get_bind())
    held = {column["name"] for column in inspector.get_columns("labels")}
    if "class_column" not in held:
        op.add_column("labels", sa.Column("class_column", sa.String()))
        op.create_index("ix_labels_class_column", "labels", ["class_column"])
    if "ix_instances_pixel_hash" not in {index["name"] for index in inspector.get_indexes("instances")}:
        op.create_index("ix_instances_pixel_hash", "instances", ["pixel_hash"])
