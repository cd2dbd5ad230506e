"""The class column of a label, the index by which the holders of a picture are found, and jobs that name
files whose names are not UTF-8.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.schema import to_stored, with_paths

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `labels.class_column`, of stored classes not known, and the index on `instances.pixel_hash`; store
    parameters of jobs as `PathJson` does.
    """
    inspector = sa.inspect(op.get_bind())
    held = {column["name"] for column in inspector.get_columns("labels")}
    if "class_column" not in held:
        op.add_column("labels", sa.Column("class_column", sa.String()))
        op.create_index("ix_labels_class_column", "labels", ["class_column"])
    if "ix_instances_pixel_hash" not in {index["name"] for index in inspector.get_indexes("instances")}:
        op.create_index("ix_instances_pixel_hash", "instances", ["pixel_hash"])
    _rewrite_parameters()


def _rewrite_parameters() -> None:
    jobs = sa.table("jobs", sa.column("id", sa.String), sa.column("parameters", sa.JSON))
    text = sa.cast(jobs.c.parameters, sa.String)
    with_bytes = text.contains("\\udc", autoescape=True, escape="!")  # as JSON writes a lone surrogate
    for job_id, parameters in op.get_bind().execute(sa.select(jobs).where(with_bytes)).all():
        changed = {"parameters": with_paths(parameters, to_stored)}
        op.get_bind().execute(sa.update(jobs).where(jobs.c.id == job_id).values(**changed))
