"""Calibrations of scores: what was fitted to labelled cases, by space, subject, level and label.

A stored calibration never changes: one that is made again is the next version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.rows import insert_rows, plain
from medsiglip.index.catalogue.schema import patients, spaces
from medsiglip.index.catalogue.score_schema import calibrations
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.forgotten import still_there
from medsiglip.index.storage.shards import write_transaction

CASES = ""
"""In place of a label: the row of what all labels of one run share, such as the patients of its cases."""


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """A calibration of one label; `subject` is `prompts:NAME`, `labels` or `probe:NAME`."""

    space: str
    subject: str
    level: str
    label: str
    version: int
    method: str
    summary: Mapping[str, Any]
    created_at: datetime


class CalibrationStore:
    """The calibrations of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        space: str,
        subject: str,
        level: str,
        labels: Mapping[str, tuple[str, Mapping[str, Any]]],
        of_patients: Collection[str],
    ) -> int:
        """Store the method and summary of each of the labels, with the keys of the patients whose cases they
        were made from; all get the version after the highest of the subject and level, which is returned.

        Raises `CatalogError` `space-mismatch` for a space that this home does not have.
        """
        with write_transaction(self._database) as transaction:
            connection = transaction.connection
            space_id = connection.execute(select(spaces.c.id).where(spaces.c.name == space)).scalar()
            if space_id is None:
                raise CatalogError(
                    "space-mismatch",
                    f"The calibration was made in the space {space}, which this home does not have; make it "
                    "on this home's own scores.",
                )
            same = and_(
                calibrations.c.space_id == space_id,
                calibrations.c.subject == subject,
                calibrations.c.level == level,
            )
            newest = select(func.coalesce(func.max(calibrations.c.version), 0)).where(same)
            version = int(connection.execute(newest).scalar_one()) + 1
            shared = {"space_id": space_id, "subject": subject, "level": level, "version": version}
            shared["created_at"] = datetime.now(UTC)
            # One who was deleted meanwhile is not to come back.
            keys = sorted(still_there(connection, patients.c.patient_key, of_patients))
            rows = [{**shared, "label": CASES, "method": "", "summary": {"patients": keys}}]
            for label, (method, summary) in labels.items():
                rows.append({**shared, "label": label, "method": method, "summary": plain(summary)})
            insert_rows(connection, calibrations, rows)
        return version

    def of_subject(self, subject: str) -> list[CalibrationRecord]:
        """The newest calibration of each label of a subject, of all spaces and levels."""
        return self._newest(_records().where(calibrations.c.subject == subject))

    def listed(self, *, all_versions: bool = False) -> list[CalibrationRecord]:
        """The newest calibration of each label of all spaces, subjects and levels, or every one."""
        return self._all(_records()) if all_versions else self._newest(_records())

    def patients(self, space: str, subject: str, level: str) -> frozenset[str]:
        """The keys of the patients whose cases the calibrations that are kept were made from."""
        statement = select(calibrations.c.summary).join(spaces, calibrations.c.space_id == spaces.c.id)
        statement = statement.where(
            spaces.c.name == space,
            calibrations.c.subject == subject,
            calibrations.c.level == level,
            calibrations.c.label == CASES,
        )
        with self._database.read() as connection:
            summaries = connection.execute(statement).scalars().all()
        return frozenset(key for summary in summaries for key in summary.get("patients", ()))

    def remove(self, subject: str, level: str | None = None) -> int:
        """Delete every version of a subject's calibrations, of one level or of both, in all spaces; returns
        how many labels' there were.
        """
        chosen = calibrations.c.subject == subject
        if level is not None:
            chosen = and_(chosen, calibrations.c.level == level)
        with write_transaction(self._database) as transaction:
            counted = select(func.count()).where(chosen, calibrations.c.label != CASES)
            count = int(transaction.connection.execute(counted).scalar_one())
            transaction.connection.execute(delete(calibrations).where(chosen))
        return count

    def _all(self, statement: Select[Any]) -> list[CalibrationRecord]:
        statement = statement.order_by(
            spaces.c.name, calibrations.c.subject, calibrations.c.level, calibrations.c.label
        ).order_by(calibrations.c.version.desc())
        with self._database.read() as connection:
            return [CalibrationRecord(*row) for row in connection.execute(statement)]

    def _newest(self, statement: Select[Any]) -> list[CalibrationRecord]:
        found: dict[tuple[str, ...], CalibrationRecord] = {}
        for one in self._all(statement):
            found.setdefault((one.space, one.subject, one.level, one.label), one)
        return list(found.values())


def _records() -> Select[Any]:
    columns = (calibrations.c[name] for name in ("subject", "level", "label", "version", "method"))
    statement = select(spaces.c.name, *columns, calibrations.c.summary, calibrations.c.created_at)
    joined = statement.join(spaces, calibrations.c.space_id == spaces.c.id)
    return joined.where(calibrations.c.label != CASES)


def forget_in_calibrations(connection: Connection, patient_keys: Collection[str]) -> None:
    """Remove patients from the lists of those whose cases calibrations were made from."""
    gone = set(patient_keys)
    if not gone:
        return
    statement = select(calibrations.c.id, calibrations.c.summary).where(calibrations.c.label == CASES)
    for row_id, summary in connection.execute(statement).all():
        kept = [key for key in summary.get("patients", ()) if key not in gone]
        if len(kept) != len(summary.get("patients", ())):
            changed = update(calibrations).where(calibrations.c.id == row_id)
            connection.execute(changed.values(summary={**summary, "patients": kept}))
