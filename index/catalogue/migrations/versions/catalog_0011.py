"""Calibrations, predictions of probes and backgrounds of scores, and versions of probes.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.score_schema import backgrounds, calibrations, predictions

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `probes.version`, unique together with the name, and the three tables."""
    connection = op.get_bind()
    if "version" not in {column["name"] for column in sa.inspect(connection).get_columns("probes")}:
        with op.batch_alter_table("probes") as batch:
            batch.add_column(sa.Column("version", sa.Integer, nullable=False, server_default="1"))
            batch.drop_constraint("uq_probes_name", type_="unique")
            batch.create_unique_constraint("uq_probes_name_version", ["name", "version"])
    for table in (calibrations, predictions, backgrounds):
        table.create(connection, checkfirst=True)
