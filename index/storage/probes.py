"""Trained probes: their rows, and their weights as files below `probes/` of the home."""

from __future__ import annotations

from datetime import UTC, datetime
from glob import escape

from sqlalchemy import delete, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.rows import insert_rows, plain
from medsiglip.index.catalogue.schema import probes, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import ProbeRecord
from medsiglip.index.storage import crash_recovery, deletion
from medsiglip.index.storage.shards import write_transaction


class ProbeStore:
    """The probes of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, probe: ProbeRecord, token: str | None = None) -> None:
        """Store a probe, replacing one of the same name, whose file is deleted.

        `token` is what `CaseIndex.announce` returned for the probe's file. Raises `CatalogError`
        `space-mismatch` for a space that this home does not have.
        """
        with write_transaction(self._database) as transaction:
            connection = transaction.connection
            space_id = connection.execute(select(spaces.c.id).where(spaces.c.name == probe.space)).scalar()
            if space_id is None:
                raise CatalogError(
                    "space-mismatch",
                    f"Probe {probe.name!r} was trained in the space {probe.space}, which this home does not "
                    "have; train it on this home's own vectors.",
                )
            same = probes.c.name == probe.name
            former = select(probes.c.file).where(same, probes.c.file != probe.file)
            transaction.delete_files([escape(file) for file in connection.execute(former).scalars()])
            connection.execute(delete(probes).where(same))
            row = {"name": probe.name, "space_id": space_id, "file": probe.file}
            row |= {"summary": plain(probe.summary), "created_at": datetime.now(UTC)}
            insert_rows(connection, probes, [row])
            if token is not None:
                crash_recovery.finish(connection, token)
        deletion.sweep(self._database)

    def remove(self, name: str) -> bool:
        """Delete a probe and its file; whether there was one."""
        same = probes.c.name == name
        with write_transaction(self._database) as transaction:
            files = transaction.connection.execute(select(probes.c.file).where(same)).scalars().all()
            transaction.delete_files([escape(file) for file in files])
            transaction.connection.execute(delete(probes).where(same))
        deletion.sweep(self._database)
        return bool(files)

    def listed(self) -> list[ProbeRecord]:
        """The probes by name."""
        statement = select(probes.c.name, spaces.c.name, probes.c.file, probes.c.summary)
        statement = statement.join(spaces, probes.c.space_id == spaces.c.id).order_by(probes.c.name)
        with self._database.read() as connection:
            return [ProbeRecord(*row) for row in connection.execute(statement)]
