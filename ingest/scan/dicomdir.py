"""Whether the files that a DICOMDIR lists are there (PS3.10 section 8, PS3.3 F.3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from medsiglip.ingest.files.source import open_source, split_source

if TYPE_CHECKING:
    from pydicom import Dataset

# A table of contents of more than a million files; larger ones are not checked.
MAX_DICOMDIR = 256 << 20


def count_missing(path: str) -> tuple[int, int]:
    """How many of the files listed by the DICOMDIR at `path` are missing, and how many it lists.

    Names are compared without case and version, which copies of a medium may lack (ISO 9660). A DICOMDIR that
    cannot be read lists nothing.
    """
    try:
        listed = {os.path.join(*parts) for parts in _listed(path)}
    except Exception:  # whatever pydicom raises for a damaged header; the file is skipped anyway
        return 0, 0
    present = _present(path, {os.path.dirname(name) for name in listed})
    return len(listed - present), len(listed)


def _listed(path: str) -> Iterator[list[str]]:
    from pydicom import dcmread

    from medsiglip.ingest.privacy.quiet import quiet

    with quiet(), open_source(path) as file:
        if file.seek(0, os.SEEK_END) > MAX_DICOMDIR:
            return
        file.seek(0)
        dataset: Dataset = dcmread(file, force=True)
        for record in dataset.get("DirectoryRecordSequence") or ():
            names = record.get("ReferencedFileID")
            if names:
                parts = [names] if isinstance(names, str) else list(names)
                yield [_normalised(str(part)) for part in parts]


def _present(path: str, folders: set[str]) -> set[str]:
    """The files of these folders beside `path`, as `_normalised` names."""
    parts = split_source(path) if not os.path.exists(path) else None
    if parts is not None:
        start = os.path.dirname(parts[1])
        names = (os.path.relpath(name, start or ".") for name in parts[0].members)
        return {"/".join(_normalised(part) for part in name.split("/")) for name in names}
    return set(_walk_normalised(os.path.dirname(path), "", folders))


def _walk_normalised(folder: str, name: str, folders: set[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        plain = os.path.join(name, _normalised(entry.name))
        if any(wanted == plain or wanted.startswith(plain + os.sep) for wanted in folders):
            yield from _walk_normalised(entry.path, plain, folders)
        yield plain


def _normalised(name: str) -> str:
    return name.strip().upper().partition(";")[0].rstrip(".")
