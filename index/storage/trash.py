"""The trash of a home: files that are no longer needed stay in `trash/` for a week before they are deleted.

Each folder of the trash is named after time and reason, and holds files under the paths that they had.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from medsiglip.index.durable_files import make_folder, sync_path
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore

FOLDER = "trash"
TRASH_DAYS = 7
"""How long files stay in the trash."""
UNFINISHED = "unfinished"
SET_ASIDE = "set-aside"
_MOMENT = "%Y%m%dT%H%M%S"


def move(home: Path, paths: Iterable[Path], reason: str) -> None:
    """Move files and folders of a home to its trash. What cannot be moved stays where it is."""
    folder = home / FOLDER / f"{datetime.now(UTC):{_MOMENT}}-{reason}"
    for path in filter(Path.exists, paths):
        target = folder / path.relative_to(home)
        with suppress(OSError):
            make_folder(target.parent)
            shutil.move(path, target)  # a part of the home may lie on another disk
            sync_path(target.parent)
            sync_path(path.parent)


def move_objects(objects: ObjectStore, names: Iterable[str], reason: str) -> list[str]:
    """Move objects of a bucket to the trash there; returns those of which versions remain at their places."""
    folder = f"{FOLDER}/{datetime.now(UTC):{_MOMENT}}-{reason}"
    return [left for name in names for left in objects.rename(name, f"{folder}/{name}")]


def empty_objects(objects: ObjectStore, reason: str | None = None) -> list[str]:
    """What `empty` does, in the trash of a bucket; returns the objects of which versions may remain there,
    with a `reason` as a glob where the bucket cannot be reached.
    """
    if not objects.is_remote:
        return []
    before = datetime.now(UTC) - timedelta(days=TRASH_DAYS)
    theirs = f"{FOLDER}/*" if reason is None else f"{FOLDER}/*-{reason}"
    try:
        found = objects.matching(f"{theirs}/*/*/*")
        moments = [name.split("/")[1].partition("-")[0] for name in found]
        old = [
            name
            for name, moment in zip(found, moments, strict=True)
            if reason is not None or _is_before(moment, before)
        ]
        return objects.delete(old)
    except CatalogError:
        return [] if reason is None else [f"{theirs}/*/*/*"]


def empty(home: Path, reason: str | None = None) -> None:
    """Delete what has been in the trash for `TRASH_DAYS`; with a `reason`, all that is there for it."""
    before = datetime.now(UTC) - timedelta(days=TRASH_DAYS)
    for folder in _folders(home):
        moment, _, why = folder.name.partition("-")
        if why == reason or (reason is None and _is_before(moment, before)):
            shutil.rmtree(folder, ignore_errors=True)


def contents(home: Path, reason: str | None = None) -> list[Path]:
    """The files in the trash, the newest first; with a `reason`, those that are there for it."""
    folders = sorted((f for f in _folders(home) if reason in (None, f.name.partition("-")[2])), reverse=True)
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def _folders(home: Path) -> list[Path]:
    try:
        return [path for path in (home / FOLDER).iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []


def _is_before(moment: str, before: datetime) -> bool:
    try:
        return datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC) < before
    except ValueError:
        return False  # not a folder that `move` made
