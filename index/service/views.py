"""Saved views: addresses of the screen that a person keeps under a name, each of one API key.

Their queries may name a patient key or a study, so they are deleted with what they name
(`medsiglip.index.storage.saved_views`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, update

from medsiglip.index.catalogue.browsing.schema import saved_views
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import CatalogError

MOST_OF_A_KEY = 500
"""Views that one key may keep."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A page of the screen with its query, as in an address: `where=modality%3DCT&sort=-added_at`."""

    name: str
    page: str
    query: str
    created_at: datetime


class ViewStore:
    """The saved views of one catalogue; `owner` is the id of a key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, owner: str) -> list[SavedView]:
        """The views of a key, by name."""
        asked = select(saved_views).where(saved_views.c.owner == owner).order_by(saved_views.c.name)
        with self._database.read() as connection:
            return [_view(row) for row in connection.execute(asked)]

    def put(self, owner: str, name: str, page: str, query: str) -> SavedView:
        """Keep a view, in place of the one of this name; raises `CatalogError` `too-many-views`."""
        theirs = saved_views.c.owner == owner
        this = and_(theirs, saved_views.c.name == name)
        view = SavedView(name, page, query, datetime.now(UTC))
        values = {"page": page, "query": query, "created_at": view.created_at}
        with self._database.write_service_tables() as connection:
            # Of two requests at once on a server, one waits here for the other.
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE saved_views IN SHARE ROW EXCLUSIVE MODE")
            if not connection.execute(update(saved_views).where(this).values(**values)).rowcount:
                count = connection.execute(select(func.count()).select_from(saved_views).where(theirs))
                if count.scalar_one() >= MOST_OF_A_KEY:
                    raise CatalogError(
                        "too-many-views", f"A key keeps at most {MOST_OF_A_KEY} views: remove one first."
                    )
                connection.execute(insert(saved_views).values(owner=owner, name=name, **values))
        return view

    def remove(self, owner: str, name: str) -> None:
        """Remove a view; raises `CatalogError` `unknown-view`."""
        this = and_(saved_views.c.owner == owner, saved_views.c.name == name)
        with self._database.write_service_tables() as connection:
            if not connection.execute(delete(saved_views).where(this)).rowcount:
                raise CatalogError("unknown-view", "There is no saved view of this name: list them.")


def _view(row: Row[Any]) -> SavedView:
    return SavedView(row.name, row.page, row.query, row.created_at)
