"""How far the audit trail was brought to a receiver elsewhere.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from alembic import op

from medsiglip.index.catalogue.service_schema import audit_exports

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    audit_exports.create(op.get_bind(), checkfirst=True)
