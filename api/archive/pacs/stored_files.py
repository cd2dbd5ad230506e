"""Files in the home of studies that came from elsewhere: whether they are there, and deleting them.

A home may keep the vectors of a study, its small pictures and where it came from, and not its files.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.archive.pacs.landing import FETCHING
from medsiglip.index.records import SEPARATOR
from medsiglip.index.storage.deletion import UPLOADS

if TYPE_CHECKING:
    from medsiglip.answers.cases import FilesState
    from medsiglip.api.archive.opened import OpenedArchive

FETCHED = ".fetched"
"""The ending of the file beside a folder that names the PACS from which the folder was fetched."""


def files_state(archive: OpenedArchive, study_instance_uid: str) -> tuple[FilesState, tuple[str, ...]]:
    """Whether each instance of a study, by its UID in this home, has a file that is there; and the
    connections from which the study came, the last first.
    """
    index = archive.index
    came_from = tuple(index.pacs_studies.came_from(study_instance_uid))
    if index.phi == "strict":
        return "gone", came_from
    wanted = {
        (instance.sop_instance_uid, instance.pixel_hash)
        for _, instance in index.instances.of_study(study_instance_uid)
    }
    for record in index.files.of_study(study_instance_uid):
        identity = (record.sop_instance_uid or "", record.pixel_hash or "")
        if identity in wanted and os.path.exists(record.path.partition(SEPARATOR)[0]):
            wanted.discard(identity)
    if not wanted:
        return "here", came_from
    return ("fetchable" if came_from else "gone"), came_from


def drop_folder(archive: OpenedArchive, folder: Path) -> None:
    """Delete what lies in a folder of `received/`, and the records of these files."""
    _drop(archive, archive.index.files.embedded_below(str(folder)))
    if folder.is_dir():
        _drop(archive, {str(path) for path in folder.rglob("*") if path.is_file()})
        with suppress(OSError):
            folder.rmdir()


def drop_copies(archive: OpenedArchive, paths: Collection[str], study_instance_uid: str) -> None:
    """Delete those of `paths`, new files of a study in `received/`, of which the home has another that stays,
    byte for byte.
    """
    records = archive.index.files.of_study(study_instance_uid)
    others = own_paths(archive, [one.path for one in records if one.path not in paths])
    stay = {
        (one.sop_instance_uid, one.pixel_hash): one.path
        for one in records
        if one.path in others and not _is_passing(one.path)
    }
    copies = set()
    for one in records:
        other = stay.get((one.sop_instance_uid, one.pixel_hash))
        if one.path in paths and other is not None and filecmp.cmp(one.path, other, shallow=False):
            copies.add(one.path)
    drop_files(archive, copies)


def _is_passing(path: str) -> bool:
    """Whether the folder of a file is being worked on, or was fetched to be deleted again."""
    folder = Path(path).parent
    return any(folder.with_name(folder.name + ending).exists() for ending in (FETCHED, FETCHING))


def note_fetched(folder: Path, name: str) -> None:
    """Note that a folder of `received/` was fetched from a PACS and is to be deleted again some time."""
    if folder.is_dir() and any(folder.iterdir()):
        folder.with_name(folder.name + FETCHED).write_text(name, encoding="utf-8")


def own_files(archive: OpenedArchive, study_instance_uid: str) -> set[str]:
    """The files of a study that lie in this home's `received/` and in no archive file, and are there."""
    return own_paths(archive, [record.path for record in archive.index.files.of_study(study_instance_uid)])


def own_paths(archive: OpenedArchive, paths: Iterable[str]) -> set[str]:
    """Those of `paths` that lie in this home's `received/` and in no archive file, and are there."""
    place = f"{archive.home / UPLOADS}/"
    return {
        path for path in paths if path.startswith(place) and SEPARATOR not in path and os.path.exists(path)
    }


def drop_files(archive: OpenedArchive, paths: Collection[str]) -> None:
    """Delete files of `own_files`, their records, and folders that are empty then."""
    _drop(archive, paths)
    for folder in {Path(path).parent for path in paths}:
        with suppress(OSError):
            folder.rmdir()


def _drop(archive: OpenedArchive, paths: Collection[str]) -> None:
    # First the files: a record without a file is harmless, and one without a record would outlive its study.
    for path in paths:
        Path(path).unlink(missing_ok=True)
    archive.index.files.drop(paths)
