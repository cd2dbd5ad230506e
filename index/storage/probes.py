"""Trained probes: their rows, and their weights as files below `probes/` of the home.

A stored probe never changes: one that is trained again is the next version of its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from glob import escape
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_rows, plain
from medsiglip.index.catalogue.schema import patients, probes, spaces, studies
from medsiglip.index.catalogue.score_schema import calibrations, predictions
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import ProbeRecord
from medsiglip.index.storage import crash_recovery
from medsiglip.index.storage.forgotten import still_there
from medsiglip.index.storage.shards import WriteTransaction, write_transaction
from medsiglip.index.storage.sweeping import sweep


class ProbeStore:
    """The probes of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, probe: ProbeRecord, token: str | None = None) -> int:
        """Store a probe as the next version of its name, whatever its own says; returns that version: one
        more than the newest that is kept.

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
            version = int(connection.execute(_newest(probe.name)).scalar_one()) + 1
            row = {"name": probe.name, "version": version, "space_id": space_id, "file": probe.file}
            row |= {
                "summary": plain(_without_gone(connection, probe.summary)),
                "created_at": datetime.now(UTC),
            }
            insert_rows(connection, probes, [row])
            if token is not None:
                crash_recovery.finish(connection, token)
        return version

    def remove(self, name: str, version: int | None = None) -> int:
        """Delete a probe, or one version of it, with its files, predictions and, with the newest version, the
        calibrations, for the next probe of the name gets its number; returns how many versions there were.
        """
        chosen = select(probes.c.id, probes.c.file).where(probes.c.name == name)
        if version is not None:
            chosen = chosen.where(probes.c.version == version)
        with write_transaction(self._database) as transaction:
            connection = transaction.connection
            rows = connection.execute(chosen).all()
            newest = connection.execute(_newest(name)).scalar_one()
            _delete(transaction, [row.id for row in rows], [row.file for row in rows])
            if connection.execute(_newest(name)).scalar_one() < newest:
                connection.execute(delete(calibrations).where(calibrations.c.subject == f"probe:{name}"))
        sweep(self._database)
        return len(rows)

    def find(self, name: str, version: int | None = None) -> ProbeRecord | None:
        """One version of a probe, without a number the newest; None if there is none."""
        statement = _records().where(probes.c.name == name)
        if version is not None:
            statement = statement.where(probes.c.version == version)
        with self._database.read() as connection:
            row = connection.execute(statement.order_by(probes.c.version.desc()).limit(1)).first()
        return None if row is None else ProbeRecord(*row)

    def listed(self, *, all_versions: bool = False) -> list[ProbeRecord]:
        """The probes by name, the newest version of each or all, newest first."""
        statement = _records().order_by(probes.c.name, probes.c.version.desc())
        with self._database.read() as connection:
            records = [ProbeRecord(*row) for row in connection.execute(statement)]
        if all_versions:
            return records
        newest: dict[str, ProbeRecord] = {}
        for record in records:
            newest.setdefault(record.name, record)
        return list(newest.values())


def probe_id_of(connection: Connection, name: str, version: int) -> int:
    """The row id of a version of a probe; raises `CatalogError` `unknown-probe`."""
    found = select(probes.c.id).where(probes.c.name == name, probes.c.version == version)
    row_id = connection.execute(found).scalar()
    if row_id is None:
        raise CatalogError(
            "unknown-probe", f"There is no probe {name}@{version} any more; `probe list` shows the probes."
        )
    return int(row_id)


def _without_gone(connection: Connection, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a probe without the patients and studies that were deleted while it was trained."""
    kept = dict(summary)
    if "patients" in kept:
        there = still_there(connection, patients.c.patient_key, kept["patients"])
        kept["patients"] = [key for key in kept["patients"] if key in there]
    if "suspects" in kept:
        uids = {one["study_instance_uid"] for one in kept["suspects"]}
        there = still_there(connection, studies.c.study_instance_uid, uids)
        kept["suspects"] = [one for one in kept["suspects"] if one["study_instance_uid"] in there]
    return kept


def _newest(name: str) -> Select[Any]:
    """The greatest version of a name, 0 for none."""
    return select(func.coalesce(func.max(probes.c.version), 0)).where(probes.c.name == name)


def _records() -> Select[Any]:
    columns = (probes.c.name, spaces.c.name, probes.c.file, probes.c.summary, probes.c.version)
    return select(*columns).join(spaces, probes.c.space_id == spaces.c.id)


def _delete(transaction: WriteTransaction, row_ids: Sequence[int], files: Sequence[str]) -> None:
    transaction.delete_files([escape(file) for file in files])
    connection = transaction.connection
    connection.execute(delete(predictions).where(one_of(predictions.c.probe_id, row_ids)))
    connection.execute(delete(probes).where(one_of(probes.c.id, row_ids)))
