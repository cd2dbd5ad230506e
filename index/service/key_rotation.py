"""Patient keys, and marks of what was forgotten, become others in one transaction, wherever the catalogue
has them. The audit trail, which nobody can change, keeps those that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, func, select, update

from medsiglip.index.catalogue.browsing.schema import maps, saved_views
from medsiglip.index.catalogue.database import Database, key_in_use
from medsiglip.index.catalogue.draft_schema import drafts, routes
from medsiglip.index.catalogue.pacs.schema import pacs_studies
from medsiglip.index.catalogue.schema import files, home, patients, probes
from medsiglip.index.catalogue.score_schema import backgrounds, calibrations
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import CatalogError

_PORTION = 5_000
# In an address, a key may follow a sign that is written as %3D or %22.
_KEY = re.compile(r"(?:(?<![0-9a-f])|(?<=%[0-9A-Fa-f]{2}))[0-9a-f]{32}(?![0-9a-f])")
# Where texts and JSON may name a patient: lists of those who were learned from, filters, answers of jobs.
_TEXTS: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (probes, ("summary",)),
    (calibrations, ("summary",)),
    (backgrounds, ("summary",)),
    (maps, ("summary",)),
    (jobs, ("parameters", "result", "error")),
    (saved_views, ("query",)),
    (routes, ("rule",)),
    (drafts, ("payload",)),
)


def rotate_pseudonyms(
    database: Database,
    fingerprints: tuple[str, str],
    later_key: Callable[[str], str],
    later_mark: Callable[[str], str],
) -> dict[str, int]:
    """Replace every patient key by `later_key` of it and every mark by `later_mark`, and tie the home to the
    second of the two fingerprints; returns how many `patients`, `files`, `forgotten` and `texts` changed.

    All or nothing. Raises `CatalogError` `key-mismatch` where the home is not tied to the first of the two,
    `jobs-running` while a job runs, whose patient keys would be the former ones.
    """
    former, later = fingerprints
    with database.write() as connection:
        if connection.execute(select(home.c.key_fingerprint)).scalar_one() != former:
            raise CatalogError(
                "key-mismatch", "The secret key of the home was changed meanwhile; run this again."
            )
        running = select(func.count()).select_from(jobs).where(jobs.c.status == "running")
        if connection.execute(running).scalar_one():
            raise CatalogError(
                "jobs-running",
                "Jobs run that know patients by the former key; wait for their end, or stop them.",
            )
        known = {key: later_key(key) for key in connection.execute(select(patients.c.patient_key)).scalars()}
        counts = {"patients": _mapped(connection, patients, "patient_key", known.__getitem__)}
        counts["files"] = _mapped(connection, files, "patient_key", later_key)
        counts["forgotten"] = _forgotten(connection, later_mark)
        counts["texts"] = sum(_texts(connection, table, names, known) for table, names in _TEXTS)
        connection.execute(update(home).values(key_fingerprint=later))
    key_in_use.set(("", ""))
    return counts


def _mapped(connection: Connection, table: Table, name: str, later: Callable[[str], str]) -> int:
    """Replace the values of one column of a table with the key `id`, portion by portion."""
    column, count, after = table.c[name], 0, -1
    changed = update(table).where(table.c.id == bindparam("row")).values({name: bindparam("later")})
    while True:
        asked = select(table.c.id, column).where(table.c.id > after, column.is_not(None))
        rows = connection.execute(asked.order_by(table.c.id).limit(_PORTION)).all()
        if not rows:
            return count
        connection.execute(changed, [{"row": row, "later": later(value)} for row, value in rows])
        after, count = rows[-1][0], count + len(rows)


def _forgotten(connection: Connection, later: Callable[[str], str]) -> int:
    keys = list(pacs_studies.primary_key.columns)
    asked = select(*keys).where(pacs_studies.c.status == "forgotten")
    rows = connection.execute(asked).mappings().all()
    for row in rows:
        this = [column == row[column.name] for column in keys]
        mark = later(row["study_instance_uid"])
        connection.execute(update(pacs_studies).where(*this).values(study_instance_uid=mark))
    return len(rows)


def _texts(connection: Connection, table: Table, names: tuple[str, ...], known: Mapping[str, str]) -> int:
    keys = list(table.primary_key.columns)
    columns = [table.c[name] for name in names if name in table.c]
    count = 0
    for row in _rows(connection, keys, columns):
        changes = {}
        for column in columns:
            later = _replaced(row[column.name], known)
            if later is not None:
                changes[column.name] = later
        if changes:
            this = [column == row[column.name] for column in keys]
            connection.execute(update(table).where(*this).values(**changes))
            count += 1
    return count


def _rows(
    connection: Connection, keys: list[Column[Any]], columns: list[Column[Any]]
) -> Iterator[Mapping[str, Any]]:
    """The rows, one portion of keys after the other: some have much text."""
    every = connection.execute(select(*keys)).mappings().all()
    for key in every:
        this = [column == key[column.name] for column in keys]
        for row in connection.execute(select(*keys, *columns).where(*this)).mappings():
            yield {column.name: row[column.name] for column in (*keys, *columns)}


def _replaced(value: Any, known: Mapping[str, str]) -> Any:
    """A text or JSON value with the later keys; None where it names no patient."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    later = _KEY.sub(lambda found: known.get(found[0], found[0]), text)
    if later == text:
        return None
    return later if isinstance(value, str) else json.loads(later)
