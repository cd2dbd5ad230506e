"""Uploaded files: while they arrive, and after their job has ended.

A file `<folder>.arriving` beside the folder of an upload exists from before its first byte until a job owns
the folder, or until it is deleted. It holds the longest time that the upload may take, in seconds, for
servers of one home may have several limits. One that is older was left by a server that was killed.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from filecmp import cmp
from pathlib import Path
from typing import Any

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.jobs import Job
from medsiglip.index.service.received_batches import is_answered
from medsiglip.index.service.waiting_uploads import FEW_FILES
from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.index.storage.spool import HANDED, SPOOL
from medsiglip.ingest.files.archive_listing import is_archive

# Added to the longest time that an upload may take: from its last byte to its job.
_MARGIN_SECONDS = 300.0
_ARRIVING = ".arriving"
# Part of the file name of a picture that a request holds, which exists while the request is answered.
_INPUT = ".input."
# A file that a receiver named: the beginning says which instance it is (medsiglip.ingest.receiving.spool).
_RECEIVED, _INSTANCE = re.compile(r"[0-9a-f]{32}\.dcm", re.ASCII), 16


def arriving(folder: Path) -> Path:
    """The file that marks an upload without a job."""
    return folder.with_name(folder.name + _ARRIVING)


def mark_arriving(folder: Path, seconds: float) -> None:
    """Mark an upload that may take so many seconds; its folder need not be there yet."""
    arriving(folder).touch(0o600)
    arriving(folder).write_text(f"{seconds}", encoding="ascii")


def input_file(home: Path, place: str, name: str) -> Path:
    """The path of a picture that a request holds; `place` is random."""
    return home / UPLOADS / f"{place}{_INPUT}{name}"


def discard_unused(index: CaseIndex, job: Job) -> None:
    """After a job has ended, delete the uploaded files that the index does not use: those that were refused
    or never read, or all, of a dry run or in a home that keeps no paths. Files in the index stay, for a
    series that gains slices is rendered again.

    No other job ever has the folder, but of files whose sender was told that they are stored: those stay,
    whatever they are, but for what lies here already, and in a home that keeps no paths until a job has
    ingested them. A folder outside the home is left alone, and so is one whose files are in the index
    according to the job, but not according to the index.
    """
    received = job.parameters.get("received")
    folder = Path(received) if received is not None else index.home
    if not job.is_final or not _is_inside(index, folder):
        return
    if is_answered(job.parameters) and (index.phi != "strict" or job.status != "done"):
        if job.status == "done":
            discard_repeated(index, folder)
        return
    # A member of an archive is called `<archive>!/<member>` (medsiglip.ingest.files.archive).
    used = {path.split("!/")[0] for path in index.files.embedded_below(str(folder))}
    if used:
        _keep_only(folder, used)
    elif index.phi == "strict" or job.parameters.get("dry_run") or not _embedded(job.result):
        shutil.rmtree(folder, ignore_errors=True)


def discard_repeated(index: CaseIndex, folder: Path) -> None:
    """Delete what a receiver got of an ingested folder that lies byte by byte in an older file of a receiver,
    too: some senders send all again every night.

    Of files that are the same the oldest stays, whichever worker looks at which of them.
    """
    own = [str(path) for path in folder.glob("*.dcm") if _RECEIVED.fullmatch(path.name)]
    place = index.home / UPLOADS
    older: dict[str, list[str]] = {}
    for path in index.kept_instances.same_of(own):
        if _RECEIVED.fullmatch(os.path.basename(path)) and Path(path).parent.parent == place:
            older.setdefault(os.path.basename(path)[:_INSTANCE], []).append(path)
    gone = []
    for path in own:
        with suppress(OSError):
            same = older.get(os.path.basename(path)[:_INSTANCE], ())
            if any(_is_older(other, path) and cmp(other, path, shallow=False) for other in same):
                os.unlink(path)
                gone.append(path)
    if gone:
        index.files.drop(gone)
        with suppress(OSError):
            folder.rmdir()


def _is_older(path: str, other: str) -> bool:
    """Whether a file comes before another one that is there, in an order that never changes."""
    with suppress(FileNotFoundError):
        return (os.stat(path).st_mtime_ns, path) < (os.stat(other).st_mtime_ns, other)
    return False


def discard_refused(index: CaseIndex, used: Mapping[Path, Collection[str]]) -> None:
    """What `discard_unused` does, for the folders of several uploads that were just ingested; `used` are the
    paths of their files that stay.
    """
    keeps_paths = index.phi != "strict"
    for folder, paths in used.items():
        if not _is_inside(index, folder):
            continue
        if paths and keeps_paths:
            _keep_only(folder, {path.split("!/")[0] for path in paths})
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _is_inside(index: CaseIndex, folder: Path) -> bool:
    return folder != index.home and folder.is_relative_to(index.home)


def _embedded(result: Mapping[str, Any] | None) -> int:
    """How many files of an ingest are in the index according to its report."""
    report = result or {}
    return int(report.get("files_embedded", 0)) + int(report.get("files_unchanged", 0))


def _keep_only(folder: Path, used: set[str]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # the content of a folder before the folder
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif str(path) not in used:
                path.unlink()


def discard_waiting(
    index: CaseIndex, study_instance_uids: Collection[str], hidden: Callable[[str], str] | None
) -> bool:
    """Delete what was received of studies and is not ingested: in the spool, and in folders whose job waits,
    failed or was cancelled, which would bring it in another time; whether there was any.

    The UIDs are those of the files, or, in a home that hides them, what `hidden` makes of those.
    """
    from medsiglip.ingest.receiving.spool import study_folder

    spool, uploads, found = index.home / SPOOL, index.home / UPLOADS, False
    wanted = frozenset(study_instance_uids)
    for uid in wanted:
        found = _empty(spool / study_folder(uid)) or found
    batches = {uploads / Path(one).name: job for job, one in index.received_batches.unread().items()}
    marked = (one.with_suffix("") for one in uploads.glob(f"*{HANDED}"))
    others = spool.glob("[!.]*") if hidden is not None else ()
    for folder in {*batches, *marked, *others}:
        uid = _study_in(folder)
        names = {uid} if hidden is None or not uid else {uid, hidden(uid)}
        if uid and not wanted.isdisjoint(names):
            if folder in batches:
                index.jobs.cancel(batches[folder])
            found = _empty(folder) or found
    return found


def _empty(folder: Path) -> bool:
    found = False
    for file in list(folder.glob("*.dcm")):
        with suppress(FileNotFoundError):  # it was handed over in this moment
            file.unlink()
            found = True
    with suppress(OSError):
        folder.rmdir()
    return found


def _study_in(folder: Path) -> str:
    """The Study Instance UID of the instances in a folder of a receiver, which are of one study."""
    from medsiglip.ingest.receiving.spool import study_uid

    with suppress(OSError):
        for file in folder.glob("*.dcm"):
            return study_uid(file)
    return ""


def sweep(index: CaseIndex, upload_seconds: float) -> None:
    """Move to the trash what a killed server left: uploads that never got a job, and pictures of requests;
    and do what `discard_unused` does for a worker that was killed.

    What another server may still be receiving, with `upload_seconds` or the limit of its own, stays, and so
    does every file of another kind.
    """
    folder = index.home / UPLOADS
    if not folder.is_dir():
        return
    # Those of workers that were killed: others have discarded them.
    for job_id, upload in index.jobs.unread_uploads().items():
        if Path(upload).is_dir():
            discard_unused(index, index.jobs.get(job_id))
    if index.phi == "strict":
        for job_id, upload in index.received_batches.done().items():
            if Path(upload).is_dir():
                discard_unused(index, index.jobs.get(job_id))
    known = {Path(one).name for one in index.jobs.received()}  # by name: a home may have been moved
    for path in sorted(folder.iterdir()):
        with suppress(OSError):
            age = time.time() - path.lstat().st_mtime - _MARGIN_SECONDS
            if age <= upload_seconds:
                continue
            if _INPUT in path.name:
                index.discard([path])
            elif path.name.endswith(_ARRIVING) and age > _limit_in(path):
                arrived = path.with_name(path.name.removesuffix(_ARRIVING))
                index.discard([path] if arrived.name in known else [arrived, path])


def _limit_in(marker: Path) -> float:
    """The seconds that an upload may take; 0 where the marker, of an earlier version, does not say."""
    try:
        seconds = float(marker.read_bytes())
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(seconds) else seconds


def count_files(path: Path) -> int | None:
    """How many files a small ingest has; None for more than `FEW_FILES`, and for archives, links to folders
    and what cannot be looked at, which may hold any number.
    """
    if not path.is_dir():
        return None if is_archive(path.name) else 1
    count, folders = 0, [str(path)]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    count += 1
                    if count > FEW_FILES or is_archive(entry.name) or (entry.is_symlink() and entry.is_dir()):
                        return None
    except OSError:
        return None
    return count
