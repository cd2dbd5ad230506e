"""What was uploaded for a job, once the job has ended."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from index.case_index import CaseIndex
from index.deletion import UPLOADS

# Beside the longest time that an upload may take: from its last byte to its job.
_MARGIN_SECONDS = 3600.0


def discard_unused(index: CaseIndex, folder: Path) -> None:
    """Delete of an upload's folder what the index does not use: it was refused, never read, or is of a home
    that keeps no paths. Files that are in the index stay, for a series that gains slices is drawn again.

    A folder outside the home is left alone. What cannot be deleted stays.
    """
    if not folder.is_relative_to(index.home) or folder == index.home:
        return
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
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


def sweep(index: CaseIndex, upload_seconds: float) -> None:
    """Delete uploads for which there is no job, as a server leaves them that is killed; those that some
    server may still be receiving stay.
    """
    folder, before = index.home / UPLOADS, time.time() - upload_seconds - _MARGIN_SECONDS
    if not folder.is_dir():
        return
    known = {Path(one).name for one in index.jobs.received()}  # by name: a home may have been moved
    for path in sorted(folder.iterdir()):
        with suppress(OSError):
            if path.name not in known and path.lstat().st_mtime < before:
                discard_unused(index, path)
