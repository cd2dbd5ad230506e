"""Report texts and captions for full-text search.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medsiglip.index.catalogue.draft_schema import report_terms
from medsiglip.index.catalogue.full_text.search_tables import rebuild_full_text
from medsiglip.index.catalogue.migrations.columns import add_newest_id

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `report_terms` with what searches it, and fill both from the texts that are stored."""
    connection = op.get_bind()
    if not sa.inspect(connection).has_table(report_terms.name):
        report_terms.create(connection)
        add_newest_id(connection)
        rebuild_full_text(connection)
