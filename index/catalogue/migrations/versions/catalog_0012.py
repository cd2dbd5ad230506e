"""Thumbnails, labels of readers, collections, maps, saved views and sessions of browsers; sorts of cases.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from alembic import op

from medsiglip.index.catalogue.browsing.schema import (
    collection_cases,
    collections,
    maps,
    reader_labels,
    saved_views,
    sessions,
    thumbnails,
)
from medsiglip.index.catalogue.schema import studies

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and indexes."""
    connection = op.get_bind()
    for table in (thumbnails, reader_labels, collections, collection_cases, maps, saved_views, sessions):
        table.create(connection, checkfirst=True)
    for index in studies.indexes:
        if index.name in ("ix_studies_added_at", "ix_studies_patient_age"):
            index.create(connection, checkfirst=True)
