"""Which process syncs a PACS, one at a time, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections

LEASE_SECONDS = 60.0
_row = pacs_connections.c


class SyncLeases:
    """The leases of one catalogue. Every method is one transaction. `holder` is unique to a run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, connection: str, holder: str, ended: str | None = None) -> bool:
        """Begin a sync, or go on with it; False while another one is at work, or where there is no such
        connection. Holders whose names begin with `ended` are known to be at work no more.
        """
        with self._database.write_service_tables() as sql:
            now = now_of(sql)
            is_free = or_(_row.lease_until.is_(None), _row.lease_until < now, _row.holder == holder)
            # One that lies further ahead was written before a clock was set back.
            is_free = or_(is_free, _row.lease_until > now + timedelta(seconds=2 * LEASE_SECONDS))
            if ended is not None:
                is_free = or_(is_free, _row.holder.startswith(ended, autoescape=True))
            this = and_(_row.name == connection, _row.removed_at.is_(None), is_free)
            lease = {"holder": holder, "lease_until": now + timedelta(seconds=LEASE_SECONDS)}
            return sql.execute(update(pacs_connections).where(this).values(**lease)).rowcount == 1

    def give_back(self, connection: str, holder: str) -> None:
        """The sync has ended."""
        with self._database.write_service_tables() as sql:
            this = and_(_row.name == connection, _row.holder == holder)
            sql.execute(update(pacs_connections).where(this).values(holder=None, lease_until=None))

    def progress(self, connection: str) -> Mapping[str, Any]:
        """What the last sync stored, empty at first."""
        with self._database.read() as sql:
            found = sql.execute(select(_row.progress).where(_row.name == connection)).scalar_one_or_none()
            return found or {}

    def set_progress(self, connection: str, holder: str, progress: Mapping[str, Any]) -> None:
        """Store how far the sync of this holder has come."""
        with self._database.write_service_tables() as sql:
            this = and_(_row.name == connection, _row.holder == holder)
            sql.execute(update(pacs_connections).where(this).values(progress=dict(progress)))
