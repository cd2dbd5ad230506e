"""The paths of uploads, once a restored home lies at another place.

They are absolute: those of files, and those in the parameters, results and errors of jobs. In a home that
keeps no paths of files, only jobs have them. All begin with the home's folder as the process saw it that took
the upload, which need not be the path of the home that was backed up: the home may have been moved since, or
be seen by another path through a link or in a container. Each upload has a job, which names its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, literal, select, type_coerce, update

from medsiglip.index.catalogue.paths import shown_path
from medsiglip.index.catalogue.schema import PathText, files
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.storage.deletion import UPLOADS

_JOBS = 200
_CHANGED = ("parameters", "result", "error")


def move_uploads(connection: Connection, home: Path) -> None:
    """Let a catalogue name its uploads below `home`."""
    new = f"{home / UPLOADS}/"
    for old in sorted(_move_in_jobs(connection, new)):
        _move_files(connection, old, new)


def _move_in_jobs(connection: Connection, new: str) -> set[str]:
    """Change the jobs of uploads, those that have ended too: a deletion searches their results for the paths
    of its files. Returns the other folders, with a slash, that uploads were in.
    """
    folders = set()
    changes = {name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in _CHANGED}
    statement = update(jobs).where(jobs.c.id == bindparam("job")).values(**changes)
    for page in _pages(connection):
        rows = []
        for row in page:
            old = _folder(row.parameters)
            if old is not None and old != new:
                folders.add(old)
                moved = {f"new_{name}": _moved(getattr(row, name), old, new) for name in _CHANGED}
                rows.append({"job": row.id, **moved})
        if rows:
            connection.execute(statement, rows)
    return folders


def _pages(connection: Connection) -> Iterator[list[Any]]:
    """All jobs, a page at a time."""
    columns = [jobs.c.id, *(jobs.c[name] for name in _CHANGED)]
    page = select(*columns).order_by(jobs.c.id).limit(_JOBS)
    rows = list(connection.execute(page))
    while rows:
        yield rows
        rows = list(connection.execute(page.where(jobs.c.id > rows[-1].id)))


def _folder(parameters: dict[str, Any]) -> str | None:
    """The folder of uploads, with a slash, that a job's upload was in."""
    received = parameters.get("received")
    if not isinstance(received, str) or PurePosixPath(received).parent.name != UPLOADS:
        return None
    return f"{PurePosixPath(received).parent}/"


def _moved(value: Any, old: str, new: str) -> Any:
    """A JSON value with another beginning of paths, also of those that a sentence quotes."""
    if isinstance(value, str):
        return value.replace(old, new).replace(shown_path(old), shown_path(new))
    if isinstance(value, dict):
        return {name: _moved(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, old, new) for item in value]
    return value


def _move_files(connection: Connection, old: str, new: str) -> None:
    """Change the paths of files. One whose new path another row has stays as it is."""
    begins = type_coerce(func.substr(files.c.path, 1, len(old)), PathText) == literal(old, PathText())
    moved = literal(new, PathText()).concat(func.substr(files.c.path, len(old) + 1))
    other = files.alias()
    is_free = ~exists().where(other.c.path == moved).correlate(files)
    connection.execute(update(files).where(begins, is_free).values(path=moved))
