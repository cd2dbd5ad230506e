"""Viewers in a home: `viewers/ohif`, with a note of its version beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from medsiglip.api.archive.files import AnyPath
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

OHIF = "ohif"
_NOTE = "viewer.json"


def folder_of(home: Path) -> Path:
    """Where a home holds OHIF, whether it is there or not."""
    return home / "viewers" / OHIF


def add_viewer(archive: OpenedArchive, file: AnyPath, *, whole: bool = False) -> dict[str, Any]:
    """Unpack the npm archive of OHIF into the home, in place of an earlier one; a running server shows it at
    once.

    Raises ServiceError `not-a-viewer`, `no-such-path`.
    """
    from medsiglip.api.archive.viewers.ohif_package import unpack

    archive.make()
    path, target = Path(file).expanduser().absolute(), folder_of(archive.home)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    beside = target.with_name(f".{OHIF}.{uuid4().hex}")
    beside.mkdir()
    try:
        unpacked = unpack(path, beside, whole=whole)
        note = {"name": OHIF, "version": unpacked.version, "files": unpacked.files, "bytes": unpacked.size}
        (beside / _NOTE).write_text(json.dumps(note), encoding="utf-8")
        _remove(target)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _shown(archive.home, note)


def list_viewers(archive: OpenedArchive) -> dict[str, Any]:
    """The viewers of the home."""
    note = _note(archive.home)
    return {"viewers": [] if note is None else [_shown(archive.home, note)]}


def remove_viewer(archive: OpenedArchive, name: str) -> dict[str, Any]:
    """Remove a viewer from the home. Raises ServiceError `unknown-viewer`."""
    note = _note(archive.home)
    if name != OHIF or note is None:
        raise ServiceError(
            "unknown-viewer", f"there is no viewer {name[:64]!r} in this home; `viewer list` shows them."
        )
    _remove(folder_of(archive.home))
    return {"removed": name}


def _remove(folder: Path) -> None:
    """Take a folder out of its place in one step, then delete it."""
    if folder.exists():
        gone = folder.with_name(f".{OHIF}.{uuid4().hex}")
        folder.rename(gone)
        shutil.rmtree(gone)


def _note(home: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((folder_of(home) / _NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return note


def _shown(home: Path, note: dict[str, Any]) -> dict[str, Any]:
    return {**note, "folder": str(folder_of(home)), "address": "/ohif/"}
