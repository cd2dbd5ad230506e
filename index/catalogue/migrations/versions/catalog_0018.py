"""Since when a file is listed for deletion.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.schema import UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is listed so far is deleted as it was before, by the first machine that sweeps."""
    if "since" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("doomed_files")}:
        op.add_column("doomed_files", sa.Column("since", UtcDateTime()))
