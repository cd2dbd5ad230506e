"""What was uploaded for a job, once the job has ended."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from index.case_index import CaseIndex


def discard_unused(index: CaseIndex, folder: Path) -> None:
    """Delete of an upload's folder what the index does not use: it was refused, never read, or is of a home
    that keeps no paths. Files that are in the index stay, for a series that gains slices is drawn again.

    A folder outside the home is left alone. What cannot be deleted stays.
    """
    if not folder.is_relative_to(index.home) or folder == index.home or not folder.is_dir():
        return
    # A member of an archive is called `<archive>!/<member>` (ingest.archive).
    used = {path.split("!/")[0] for path in index.embedded_below(str(folder))}
    if not used:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder itself
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif str(path) not in used:
                path.unlink()
