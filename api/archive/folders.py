"""The folders below which an ingest may name files: what they are called, never what is in their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from medsiglip.answers.access import FolderListing
from medsiglip.answers.paths import shown
from medsiglip.api.archive.files import allowed_path
from medsiglip.api.errors import ServiceError

MOST_ENTRIES = 10_000
"""Of a folder, so many entries are looked at, in the order of its file system."""
MOST_FOLDERS = 1000


def list_folders(roots: Sequence[Path], path: str | None = None) -> FolderListing:
    """The allowed roots, and the folders in `path`, which must be one of them or below one.

    Symbolic links are listed where they lead to a folder below a root, and those that begin with a dot are
    left out. Raises ServiceError `path-not-allowed`, `no-such-path`, `not-a-folder`; OSError.
    """
    named = tuple(shown(str(root)) for root in roots)
    if path is None:
        return FolderListing(roots=named, path=None, parent=None, folders=(), files=0, is_cut=False)
    real = allowed_path(path, roots)
    if not real.is_dir():
        raise ServiceError("not-a-folder", "the path is a file: name a folder.")
    inside = [Path(os.path.realpath(root)) for root in roots]
    folders: list[str] = []
    files = 0
    with os.scandir(real) as entries:
        for entry in islice(entries, MOST_ENTRIES):
            if entry.name.startswith("."):
                continue
            if _is_folder_below(entry, inside):
                folders.append(shown(entry.name))
            elif entry.is_file(follow_symlinks=False):
                files += 1
        is_cut = next(entries, None) is not None or len(folders) > MOST_FOLDERS
    has_parent = any(real.parent.is_relative_to(root) for root in inside)
    return FolderListing(
        roots=named,
        path=shown(str(real)),
        parent=shown(str(real.parent)) if has_parent else None,
        folders=tuple(sorted(folders)[:MOST_FOLDERS]),
        files=files,
        is_cut=is_cut,
    )


def _is_folder_below(entry: os.DirEntry[str], roots: Sequence[Path]) -> bool:
    """Whether an entry is a folder, or a link to one that lies below a root."""
    try:
        if not entry.is_symlink():
            return entry.is_dir()
        real = Path(os.path.realpath(entry.path))
        return any(real.is_relative_to(root) for root in roots) and real.is_dir()
    except OSError:
        return False
