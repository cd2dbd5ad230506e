"""Rows about trained probes; their weights are files below `probes/`."""

from __future__ import annotations

from datetime import UTC, datetime
from glob import escape

from sqlalchemy import Connection, delete, select

from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import probes, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import ProbeRecord
from medsiglip.index.storage.shards import Writing
from medsiglip.index.storage.writing import plain


def record(writing: Writing, probe: ProbeRecord) -> None:
    """Note a probe in place of one with the same name, whose file is doomed; raises `CatalogError`
    `space-mismatch` for a space unknown here.
    """
    connection = writing.connection
    space_id = connection.execute(select(spaces.c.id).where(spaces.c.name == probe.space)).scalar()
    if space_id is None:
        raise CatalogError(
            "space-mismatch",
            f"Probe {probe.name!r} was trained in the space {probe.space}, which this home does not have; "
            "train it on this home's own vectors.",
        )
    same = probes.c.name == probe.name
    former = connection.execute(select(probes.c.file).where(same, probes.c.file != probe.file)).scalars()
    writing.doom([escape(file) for file in former])
    connection.execute(delete(probes).where(same))
    row = {"name": probe.name, "space_id": space_id, "file": probe.file, "summary": plain(probe.summary)}
    insert_rows(connection, probes, [{**row, "created_at": datetime.now(UTC)}])


def remove(writing: Writing, name: str) -> bool:
    """Take a probe out; whether there was one. Its file is doomed."""
    files = writing.connection.execute(select(probes.c.file).where(probes.c.name == name)).scalars().all()
    writing.doom([escape(file) for file in files])
    writing.connection.execute(delete(probes).where(probes.c.name == name))
    return bool(files)


def listed(connection: Connection) -> list[ProbeRecord]:
    """The probes by name."""
    statement = select(probes.c.name, spaces.c.name, probes.c.file, probes.c.summary)
    statement = statement.join(spaces, probes.c.space_id == spaces.c.id).order_by(probes.c.name)
    return [ProbeRecord(*row) for row in connection.execute(statement)]
