"""Files in the home of studies that came from elsewhere: whether they are there, and deleting them.

A home may keep the vectors of a study, its small pictures and where it came from, and not its files.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.index.records import SEPARATOR
from medsiglip.index.storage.deletion import UPLOADS

if TYPE_CHECKING:
    from medsiglip.answers.cases import FilesState
    from medsiglip.api.archive.opened import OpenedArchive


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


def own_files(archive: OpenedArchive, study_instance_uid: str) -> set[str]:
    """The files of a study that lie in this home's `received/` and in no archive file, and are there."""
    place = f"{archive.home / UPLOADS}/"
    paths = (record.path for record in archive.index.files.of_study(study_instance_uid))
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
