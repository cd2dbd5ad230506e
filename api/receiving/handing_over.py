"""Studies of the spool become ingest jobs, each by one rename, so that a kill at any moment loses none.

A study's folder is moved from the spool to the uploads of the home under a name that was never used. A file
`<folder>.handed` beside it exists from before the move until the job is in the catalogue. Who finds one does
what is missing: the job has an idempotency key made of the folder's name, so that there is one. Instances
that come later make a folder, and a job, of their own; the ingest makes of both what it would have made of
one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from medsiglip.api.archive.audit_trail import checked_action
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.archive.received import count_files
from medsiglip.api.receiving.state import FOLDER
from medsiglip.index.service.audit_log import AuditEvent, AuditFilter
from medsiglip.index.service.received_batches import MOST_AT_ONCE, next_key
from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.index.storage.spool import HANDED, SPOOL
from medsiglip.index.vectors import make_folder, sync_path
from medsiglip.ingest.receiving.spool import study_uid

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

_LOCK = "hand-over.lock"
# More batches than a killed receiver can have left between an event and its job: it has one at a time.
_LAST_EVENTS = 100
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)
_log = logging.getLogger("medsiglip.receiver")


class HandOver:
    """Hands studies of a home's spool to its jobs. Of several receivers, one at a time does."""

    def __init__(self, archive: OpenedArchive) -> None:
        self._archive = archive
        self._spool = archive.home / SPOOL
        self._uploads = archive.home / UPLOADS

    def hand_over(self, folders: list[Path]) -> int:
        """Move the folders of studies that are there still, and make a job of each; returns how many.

        Raises CatalogError and OSError: what was moved then has its job by `repair`. A folder that cannot be
        read or moved holds up no other.
        """
        count, failed = 0, None
        with _alone(self._archive.home / FOLDER) as is_alone:
            for folder in folders if is_alone else ():
                try:
                    batch = self._move(folder)
                    if batch is not None:
                        self._submit(batch)
                        count += 1
                except OSError as error:
                    failed = failed or error
        if failed is not None:
            raise failed
        return count

    def repair(self) -> int:
        """Give the studies their jobs that a killed receiver, or one without a catalogue, had moved without.

        Returns how many were moved; raises as `hand_over` does.
        """
        count, failed = 0, None
        with _alone(self._archive.home / FOLDER) as is_alone:
            for marker in sorted(self._uploads.glob(f"*{HANDED}")) if is_alone else ():
                batch = marker.with_name(marker.name.removesuffix(HANDED))
                try:
                    if batch.is_dir():
                        self._submit(batch)
                        count += 1
                    else:  # it was not moved, or its job has ended and kept nothing
                        _remove(marker)
                except OSError as error:
                    failed = failed or error
        if failed is not None:
            raise failed
        return count

    def retry_failed(self) -> int:
        """Give another job to studies whose last one failed, was cancelled, or lost its workers: their
        senders were told that they are safe here. Returns how many.
        """
        index, count = self._archive.index, 0
        for job_id, parameters in index.received_batches.abandoned():
            batch = self._uploads / Path(parameters["received"]).name  # the home may have been moved
            if batch.is_dir():
                again = {**parameters, "paths": [str(batch)], "received": str(batch)}
                index.jobs.submit("ingest", again, idempotency_key=next_key(job_id))
                count += 1
            if count >= MOST_AT_ONCE:
                break
        return count

    def _move(self, folder: Path) -> Path | None:
        """Move a study out of the spool; None where it is not there any more."""
        batch = self._uploads / uuid4().hex
        make_folder(self._uploads)
        marker = _marker(batch)
        marker.touch(0o600)
        sync_path(self._uploads)
        try:
            os.rename(folder, batch)
        except FileNotFoundError:
            if not batch.is_dir():  # a network file system may say so of what it has done
                _remove(marker)
                return None
        # Before the job: from now on its files are where the catalogue says, whatever ends the machine.
        for changed in (batch, self._uploads, self._spool):
            sync_path(changed)
        return batch

    def _submit(self, batch: Path) -> None:
        events = _events(self._archive, batch)
        if events and not self._is_recorded(batch):
            self._archive.index.audit.append(events)
        if events:
            self._archive.index.jobs.submit(
                "ingest",
                {
                    "paths": [str(batch)],
                    "metadata": None,
                    "received": str(batch),
                    "files": count_files(batch),
                    "answered": True,
                },
                idempotency_key=f"receive:{batch.name}",
            )
            _log.info("study handed to the ingest as %s (%d files)", batch.name, _total(events))
        else:
            with suppress(OSError):
                batch.rmdir()  # empty: an instance never came
            if any(batch.glob("*.dcm")):
                return  # one came while it was moved: `repair` finds the marker
        _remove(_marker(batch))

    def _is_recorded(self, batch: Path) -> bool:
        """Whether a receiver that was killed before the job has recorded it."""
        newest = self._archive.index.audit.newest(limit=_LAST_EVENTS, only=AuditFilter(action="receive"))
        return any(one.event.details.get("batch") == batch.name for one in newest)


def _marker(batch: Path) -> Path:
    return batch.with_name(batch.name + HANDED)


def _remove(marker: Path) -> None:
    with suppress(OSError):
        marker.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process hands studies over meanwhile; the lock ends with the process."""
    make_folder(folder)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _events(archive: OpenedArchive, batch: Path) -> list[AuditEvent]:
    """One event for each AE that sent instances of the study; none for an empty folder."""
    files = sorted(path for path in batch.iterdir() if path.suffix == ".dcm")
    if not files:
        return []
    study = _study_uid(files[0])
    studies = () if study is None else (stored_study_uid(archive, study),)
    action = checked_action("receive")
    return [
        AuditEvent(f"aet:{sender}", action, studies, {"batch": batch.name, "instances": count})
        for sender, count in sorted(Counter(map(_sender, files)).items())
    ]


def _total(events: list[AuditEvent]) -> int:
    return sum(int(one.details["instances"]) for one in events)


def _sender(file: Path) -> str:
    """The AE title of the File Meta Information (PS3.10, section 7.1), that the receiver wrote."""
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(file)
        return " ".join(str(meta.get("SourceApplicationEntityTitle", "") or "").split())[:16] or "unknown"
    except Exception:  # pydicom raises many types of errors over damaged bytes
        return "unknown"


def _study_uid(file: Path) -> str | None:
    """The study that an instance names; a value that is no UID may name a person."""
    try:
        found = study_uid(file)
    except OSError:  # the ingest says what is wrong with the file
        return None
    return found if _UID.fullmatch(found) else None
