"""Connections to PACS as rows: how each is reached, and how it did when it was last used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, distinct, func, insert, or_, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_deliveries, pacs_studies
from medsiglip.index.catalogue.rows import record_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, instances, series, studies
from medsiglip.index.errors import CatalogError

MOST_CONNECTIONS = 100
"""Connections of one home."""
_SEEN_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class PacsRecord:
    """A connection. `options` are those of `medsiglip.ingest.pacs.connection`; `failure` has `code` and
    `message`, and is None once the PACS was seen again.
    """

    name: str
    options: Mapping[str, Any]
    created_at: datetime
    last_seen_at: datetime | None
    failed_at: datetime | None
    failure: Mapping[str, Any] | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """What a home holds of a study: its `instances` and `images`, and how many instances of it came from the
    PACS, None where it did not come from there whole.
    """

    instances: int = 0
    images: int = 0
    received: int | None = None


_ADDRESS = ("url", "host", "port", "ae_title", "changes_url")


class PacsConnectionStore:
    """The connections of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[PacsRecord]:
        """The connections, by name."""
        asked = select(pacs_connections).where(pacs_connections.c.removed_at.is_(None))
        with self._database.read() as connection:
            found = connection.execute(asked.order_by(pacs_connections.c.name))
            return [record_of(PacsRecord, row) for row in found]

    def get(self, name: str) -> PacsRecord:
        """One connection; raises `CatalogError` `unknown-pacs`."""
        with self._database.read() as connection:
            return _needed(connection, name)

    def put(self, name: str, options: Mapping[str, Any]) -> PacsRecord:
        """Add a connection, or change the one of this name: what it held and how it did stays.

        One that was removed comes back with the studies that came from it. Where the address changes, the
        next sync looks at all again: the numbers of changes are those of one server. Raises `CatalogError`
        `too-many-pacs`.
        """
        with self._database.write_service_tables() as connection:
            # Of two requests at once on a server, one waits here for the other.
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE pacs_connections IN SHARE ROW EXCLUSIVE MODE")
            this = pacs_connections.c.name == name
            asked = select(pacs_connections.c.removed_at, pacs_connections.c.options)
            former = connection.execute(asked.where(this)).first()
            if former is None or former.removed_at is not None:
                _require_room(connection)
            values: dict[str, Any] = {"options": dict(options), "removed_at": None}
            if former is not None and any(former.options.get(one) != options.get(one) for one in _ADDRESS):
                values["progress"] = None
            if former is None:
                connection.execute(
                    insert(pacs_connections).values(name=name, created_at=now_of(connection), **values)
                )
            else:
                connection.execute(update(pacs_connections).where(this).values(**values))
            return _needed(connection, name)

    def remove(self, name: str) -> None:
        """Forget how a PACS is reached; the studies that came from it and what was sent there stay, and are
        of the connection that gets this name again. Raises `CatalogError` `unknown-pacs`.
        """
        kept = ("last_seen_at", "failed_at", "failure", "progress", "holder", "lease_until")
        gone: dict[str, Any] = dict.fromkeys(kept)
        with self._database.write_service_tables() as connection:
            _needed(connection, name)
            values = {**gone, "options": {}, "removed_at": now_of(connection)}
            connection.execute(
                update(pacs_connections).where(pacs_connections.c.name == name).values(**values)
            )

    def note_seen(self, name: str) -> None:
        """The PACS did what it was asked; one that was seen some seconds ago is not written again."""
        this = pacs_connections.c
        with self._database.read() as connection:
            now = now_of(connection)
            is_old = or_(this.last_seen_at.is_(None), this.last_seen_at < now - _SEEN_AGAIN)
            asked = select(this.name).where(this.name == name, or_(this.failure.is_not(None), is_old))
            if connection.execute(asked).first() is None:
                return
        self._note(name, last_seen_at=now, failed_at=None, failure=None)

    def note_failure(self, name: str, code: str, message: str) -> None:
        """The PACS could not be asked, or did not do what it was asked."""
        with self._database.read() as connection:
            now = now_of(connection)
        self._note(name, failed_at=now, failure={"code": code, "message": message})

    def _note(self, name: str, **values: Any) -> None:
        this = (pacs_connections.c.name == name, pacs_connections.c.removed_at.is_(None))
        with self._database.write_service_tables() as connection:
            connection.execute(update(pacs_connections).where(*this).values(**values))

    def working(self) -> set[str]:
        """The names of connections whose lease a sync holds."""
        with self._database.read() as connection:
            held = pacs_connections.c.lease_until > now_of(connection)
            return set(connection.execute(select(pacs_connections.c.name).where(held)).scalars())

    def study_counts(self) -> dict[tuple[str, str], int]:
        """Number of studies by connection and status."""
        return self._counts(pacs_studies.c.connection, pacs_studies.c.status)

    def delivery_counts(self) -> dict[tuple[str, str], int]:
        """Number of deliveries by connection and status."""
        return self._counts(pacs_deliveries.c.connection, pacs_deliveries.c.status)

    def _counts(self, name: Any, status: Any) -> dict[tuple[str, str], int]:
        with self._database.read() as connection:
            found = connection.execute(select(name, status, func.count()).group_by(name, status))
            return {(row[0], row[1]): row[2] for row in found}

    def held(self, name: str, study_instance_uids: Sequence[str]) -> dict[str, HeldStudy]:
        """What the home holds of studies, by their UIDs as the home has them; those of which it holds nothing
        are left out. `name` is the connection that they may have come from.
        """
        if not study_instance_uids:
            return {}
        wanted = one_of(studies.c.study_instance_uid, study_instance_uids)
        uid = studies.c.study_instance_uid
        pictures = (
            select(uid, func.count())
            .join(images, images.c.study_id == studies.c.id)
            .where(wanted, images.c.space_id == ACTIVE_SPACE)
            .group_by(uid)
        )
        # One UID with several pixels is one instance to the PACS.
        kept = (
            select(uid, func.count(distinct(instances.c.sop_instance_uid)))
            .join(series, series.c.study_id == studies.c.id)
            .join(instances, instances.c.series_id == series.c.id)
            .where(wanted)
            .group_by(uid)
        )
        came = select(pacs_studies.c.study_instance_uid, pacs_studies.c.received).where(
            pacs_studies.c.connection == name,
            pacs_studies.c.status == "here",
            one_of(pacs_studies.c.study_instance_uid, study_instance_uids),
        )
        with self._database.read() as connection:
            images_of, instances_of, received_of = (
                {row[0]: row[1] for row in connection.execute(asked)} for asked in (pictures, kept, came)
            )
        return {
            one: HeldStudy(instances_of.get(one, 0), images_of.get(one, 0), received_of.get(one))
            for one in (*images_of, *instances_of, *received_of)
        }


def _require_room(connection: Connection) -> None:
    there = pacs_connections.c.removed_at.is_(None)
    count = connection.execute(select(func.count()).select_from(pacs_connections).where(there)).scalar_one()
    if count >= MOST_CONNECTIONS:
        raise CatalogError(
            "too-many-pacs", f"A home has at most {MOST_CONNECTIONS} connections to PACS: remove one first."
        )


def _needed(connection: Connection, name: str) -> PacsRecord:
    this = (pacs_connections.c.name == name, pacs_connections.c.removed_at.is_(None))
    row = connection.execute(select(pacs_connections).where(*this)).first()
    if row is None:
        raise CatalogError("unknown-pacs", f"There is no PACS {name} in this home: `pacs list` shows them.")
    return record_of(PacsRecord, row)
