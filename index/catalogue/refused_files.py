"""Rows of files that were refused: whose they are, and which go when a patient or a study is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os.path import dirname

from sqlalchemy import ColumnElement, Connection, delete, select

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.catalogue.schema import files, instances
from medsiglip.index.records import SEPARATOR


def paths_of_series(connection: Connection, series_ids: Sequence[int]) -> list[str]:
    """The paths of the files that series were ingested from."""
    statement = select(files.c.path).join(instances, files.c.instance_id == instances.c.id)
    return list(connection.execute(statement.where(one_of(instances.c.series_id, series_ids))).scalars())


def remove_refused(connection: Connection, theirs: ColumnElement[bool], paths: Iterable[str]) -> list[str]:
    """Delete the rows of refused files that are `theirs`, and of those that belong to nobody known but lie
    beside them or beside `paths`; their paths.

    A header that could not be read names nobody, but the path may. A row too many costs no more than
    another look at the file.
    """
    refused = files.c.instance_id.is_(None)
    owned = connection.execute(select(files.c.id, files.c.path).where(refused, theirs)).all()
    places = [path for path in (*paths, *(row.path for row in owned)) if not path.startswith(HIDDEN)]
    folders = {dirname(path) for path in places}
    archives = {path.partition(SEPARATOR)[0] for path in places if SEPARATOR in path}
    nobody = select(files.c.id, files.c.path).where(
        refused,
        files.c.patient_key.is_(None),
        files.c.study_instance_uid.is_(None),
        files.c.sop_instance_uid.is_(None),
    )
    beside = [
        row
        for row in connection.execute(nobody)
        if dirname(row.path) in folders or row.path.partition(SEPARATOR)[0] in archives
    ]
    doomed = [*owned, *beside]
    connection.execute(delete(files).where(one_of(files.c.id, [row.id for row in doomed])))
    return [row.path for row in doomed]
