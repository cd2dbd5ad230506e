"""How much of a person's data the home keeps, the identities of a home that keeps them, and whose a refused
file is.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a home that holds cases already is pseudonymous, for there was nothing else."""
    op.add_column("home", sa.Column("phi", sa.String()))
    op.add_column("studies", sa.Column("identity", sa.JSON()))
    op.add_column("files", sa.Column("patient_key", sa.String()))
    op.add_column("files", sa.Column("study_instance_uid", sa.String()))
    op.execute("UPDATE home SET phi = 'pseudonymous' WHERE key_fingerprint IS NOT NULL")


def downgrade() -> None:
    """Remove the columns and what they hold."""
    op.drop_column("files", "study_instance_uid")
    op.drop_column("files", "patient_key")
    op.drop_column("studies", "identity")
    op.drop_column("home", "phi")
