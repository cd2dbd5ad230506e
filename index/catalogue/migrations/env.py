"""Loaded by Alembic, by path: migrates the connection handed in by `medsiglip.index.catalogue.migrations`,
inside its transaction.
"""

from __future__ import annotations

from alembic import context

from medsiglip.index.catalogue.schema import metadata


def migrate() -> None:
    """Run the revisions that the current Alembic command asks for."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ != "medsiglip.index.catalogue.migrations.env":
    migrate()
