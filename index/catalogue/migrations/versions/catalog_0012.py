"""Thumbnails, labels of readers, collections, maps, saved views and sessions of browsers.

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

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    connection = op.get_bind()
    for table in (thumbnails, reader_labels, collections, collection_cases, maps, saved_views, sessions):
        table.create(connection, checkfirst=True)
