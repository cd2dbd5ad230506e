"""Patient keys, and marks of what was forgotten, become others in one transaction, wherever the catalogue
has them. The audit trail, which nobody can change, keeps those that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, func, select, text, update

from medsiglip.index.catalogue.browsing.schema import maps, saved_views
from medsiglip.index.catalogue.database import Database, key_in_use, now_of
from medsiglip.index.catalogue.draft_schema import drafts, routes
from medsiglip.index.catalogue.one_of import one_of_parameter
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_studies
from medsiglip.index.catalogue.schema import files, home, patients, probes
from medsiglip.index.catalogue.score_schema import backgrounds, calibrations
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import CatalogError

_PORTION = 5_000
# Twice as long as the lease of a sync: one that lies further ahead was written before a clock was set back.
_FURTHEST_LEASE = timedelta(seconds=120)
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
    before: Callable[[], object] = lambda: None,
) -> dict[str, int]:
    """Replace every patient key by `later_key` of it and every mark by `later_mark`, and tie the home to the
    second of the two fingerprints; returns how many `patients`, `files`, `forgotten` and `texts` changed.

    All or nothing. `before` is called when nothing hinders it, and nothing was changed yet. Raises
    `CatalogError` `key-mismatch` where the home is not tied to the first of the two; `jobs-running` and
    `sync-running` while a job or a sync runs, whose patient keys would be the former ones.
    """
    former, later = fingerprints
    with database.write() as connection:
        if connection.execute(select(home.c.key_fingerprint)).scalar_one() != former:
            raise CatalogError(
                "key-mismatch", "The secret key of the home was changed meanwhile; run this again."
            )
        _require_quiet(connection)
        before()
        # Texts first: which of the keys that they name are patients' is looked up among the former ones.
        texts = sum(_texts(connection, table, names, later_key) for table, names in _TEXTS)
        counts = {"patients": _mapped(connection, patients, "patient_key", later_key)}
        counts["files"] = _mapped(connection, files, "patient_key", later_key)
        counts["forgotten"] = _forgotten(connection, later_mark)
        counts["texts"] = texts
        connection.execute(update(home).values(key_fingerprint=later))
    key_in_use.set(("", ""))
    with suppress(CatalogError):  # the next run of a worker, or compaction, empties it of the former keys
        database.empty_log()
    return counts


def _require_quiet(connection: Connection) -> None:
    """No job runs, nor a sync without one, and none begins before the transaction ends. SQLite has one writer
    in any case.
    """
    if connection.dialect.name == "postgresql":
        # Against whatever writes them, and not against readers
        # (postgresql.org/docs/current/explicit-locking.html).
        names = ", ".join(table.name for table in (jobs, pacs_connections, pacs_studies))
        connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
    running = select(func.count()).select_from(jobs).where(jobs.c.status == "running")
    if connection.execute(running).scalar_one():
        raise CatalogError(
            "jobs-running",
            "Jobs run that know patients by the former key; wait for their end, or stop them.",
        )
    now, lease = now_of(connection), pacs_connections.c.lease_until
    is_held = lease.between(now, now + _FURTHEST_LEASE)
    if connection.execute(select(pacs_connections.c.name).where(is_held).limit(1)).first() is not None:
        raise CatalogError(
            "sync-running",
            "A sync of a PACS runs that knows patients by the former key; wait for its end, or a "
            "minute where its process was killed.",
        )


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


def _texts(
    connection: Connection, table: Table, names: tuple[str, ...], later_key: Callable[[str], str]
) -> int:
    keys = list(table.primary_key.columns)
    columns = [table.c[name] for name in names if name in table.c]
    count = 0
    for row in _rows(connection, keys, columns):
        changes = {}
        for column in columns:
            later = _replaced(connection, row[column.name], later_key)
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


def _replaced(connection: Connection, value: Any, later_key: Callable[[str], str]) -> Any:
    """A text or JSON value with the later keys; None where it names no patient."""
    if value is None:
        return None
    written = value if isinstance(value, str) else json.dumps(value)
    known = _patients_among(connection, list(dict.fromkeys(_KEY.findall(written))))
    if not known:
        return None
    later = _KEY.sub(lambda found: later_key(found[0]) if found[0] in known else found[0], written)
    return later if isinstance(value, str) else json.loads(later)


def _patients_among(connection: Connection, keys: list[str]) -> set[str]:
    """Those of 32 hex characters that are keys of patients."""
    asked = select(patients.c.patient_key).where(one_of_parameter(patients.c.patient_key, "keys"))
    found: set[str] = set()
    for first in range(0, len(keys), _PORTION):
        found.update(connection.execute(asked, {"keys": keys[first : first + _PORTION]}).scalars())
    return found
