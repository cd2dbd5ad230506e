"""Whether the files that a DICOMDIR lists are there (PS3.10 section 8, PS3.3 F.3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from medsiglip.ingest.files.source import open_source, split_source

if TYPE_CHECKING:
    from pydicom import Dataset

# A table of contents of more than a million files; beyond it nothing is said.
MAX_DICOMDIR = 256 << 20


def count_missing(path: str) -> tuple[int, int]:
    """How many of the files that the DICOMDIR at `path` lists are not beside it, and how many it lists.

    Names are compared without case and version, as media were copied with and without (ISO 9660). A DICOMDIR
    that cannot be read lists nothing.
    """
    try:
        listed = {os.path.join(*parts) for parts in _listed(path)}
    except Exception:  # whatever a mangled header makes pydicom raise; the file itself is skipped anyway
        return 0, 0
    present = _present(path, {os.path.dirname(name) for name in listed})
    return len(listed - present), len(listed)


def _listed(path: str) -> Iterator[list[str]]:
    from pydicom import dcmread

    from medsiglip.ingest.scan.scan import quiet

    with quiet(), open_source(path) as file:
        if file.seek(0, os.SEEK_END) > MAX_DICOMDIR:
            return
        file.seek(0)
        dataset: Dataset = dcmread(file, force=True)
        for record in dataset.get("DirectoryRecordSequence") or ():
            names = record.get("ReferencedFileID")
            if names:
                parts = [names] if isinstance(names, str) else list(names)
                yield [_plain(str(part)) for part in parts]


def _present(path: str, folders: set[str]) -> set[str]:
    """The files of these folders beside `path`, as `_plain` names."""
    parts = split_source(path) if not os.path.exists(path) else None
    if parts is not None:
        start = os.path.dirname(parts[1])
        names = (os.path.relpath(name, start or ".") for name in parts[0].members)
        return {"/".join(_plain(part) for part in name.split("/")) for name in names}
    return set(_walk_plain(os.path.dirname(path), "", folders))


def _walk_plain(folder: str, name: str, folders: set[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        plain = os.path.join(name, _plain(entry.name))
        if any(wanted == plain or wanted.startswith(plain + os.sep) for wanted in folders):
            yield from _walk_plain(entry.path, plain, folders)
        yield plain


def _plain(name: str) -> str:
    return name.strip().upper().partition(";")[0].rstrip(".")
