"""Connections to PACS, their studies, what is sent to them, and storage commitment.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from alembic import op

from medsiglip.index.catalogue.pacs.schema import (
    pacs_connections,
    pacs_deliveries,
    pacs_studies,
    storage_commitments,
)

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    connection = op.get_bind()
    for table in (pacs_connections, pacs_studies, pacs_deliveries, storage_commitments):
        table.create(connection, checkfirst=True)
