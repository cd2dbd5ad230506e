"""What the shell completes: prompt sets, and the probes and routes of the home. No model is loaded for it,
and the home is only read: it is not even migrated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy import Column

LIST = "list"
"""In place of a prompt set: list them."""
_PATIENCE_S = 1.0


def prompt_sets(incomplete: str) -> list[str]:
    """Bundled prompt sets that begin so."""
    from medsiglip.zero_shot.prompt_file import list_prompt_sets

    return [name for name in (*list_prompt_sets(), LIST) if name.startswith(incomplete)]


def probes(context: typer.Context, incomplete: str) -> list[str]:
    """Probes of the home that begin so."""
    from medsiglip.index.catalogue.schema import probes

    return _names(context, incomplete, probes.c.name)


def routes(context: typer.Context, incomplete: str) -> list[str]:
    """Routes of the home that begin so."""
    from medsiglip.index.catalogue.draft_schema import routes

    return _names(context, incomplete, routes.c.name)


def _names(context: typer.Context, incomplete: str, column: Column[str]) -> list[str]:
    """Names in the home of the command line so far; none where it cannot be read."""
    from sqlalchemy import select

    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.api.errors import explain
    from medsiglip.api.settings import read_settings
    from medsiglip.index.catalogue.database import Database

    given = context.find_root().params
    try:
        settings = read_settings(given.get("config"), home=given.get("home"))
        database = Database(settings.home, catalogue_url(settings), _PATIENCE_S, unchanging=True)
        try:
            if not database.holds_tables():
                return []
            with database.read() as connection:
                names = connection.execute(select(column).distinct().order_by(column)).scalars()
                return [name for name in names if name.startswith(incomplete)]
        finally:
            database.close()
    except Exception as error:
        if explain(error) is None:
            raise
        return []
