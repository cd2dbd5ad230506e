"""How far the audit trail was brought elsewhere: one row for each way, which one process holds at a time."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.service_schema import audit_exports


class AuditPositions:
    """The positions of one catalogue, each the sequence number of the last event that was brought."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self, name: str) -> int:
        """The last event that was brought by this way; 0 for none."""
        asked = select(audit_exports.c.sequence).where(audit_exports.c.name == name)
        with self._database.read() as connection:
            return int(connection.execute(asked).scalar() or 0)

    def take(self, name: str, holder: str, lease: timedelta) -> int | None:
        """Hold a way for so long, and its position; None while another holds it."""
        row = audit_exports.c.name == name
        try:
            with self._database.write_service_tables() as connection:
                now = now_of(connection)
                held = {"holder": holder, "held_until": now + lease}
                is_free = or_(
                    audit_exports.c.holder.is_(None),
                    audit_exports.c.holder == holder,
                    audit_exports.c.held_until <= now,
                )
                if connection.execute(select(audit_exports.c.name).where(row)).first() is None:
                    connection.execute(insert(audit_exports).values(name=name, sequence=0, **held))
                    return 0
                taken = connection.execute(update(audit_exports).where(row, is_free).values(**held))
                if taken.rowcount == 0:
                    return None
                return int(connection.execute(select(audit_exports.c.sequence).where(row)).scalar_one())
        except IntegrityError:  # another process made the row
            return None

    def move(self, name: str, holder: str, sequence: int) -> bool:
        """Note that all up to this event was brought, by who holds the way; False where another does now."""
        mine = (audit_exports.c.name == name) & (audit_exports.c.holder == holder)
        forward = mine & (audit_exports.c.sequence < sequence)
        with self._database.write_service_tables() as connection:
            moved = connection.execute(update(audit_exports).where(forward).values(sequence=sequence))
        return bool(moved.rowcount)

    def release(self, name: str, holder: str) -> None:
        """Let others hold a way."""
        mine = (audit_exports.c.name == name) & (audit_exports.c.holder == holder)
        with self._database.write_service_tables() as connection:
            connection.execute(update(audit_exports).where(mine).values(holder=None, held_until=None))
