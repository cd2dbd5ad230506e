"""What a receiver got of a patient and is not ingested: in studies that the index does not know yet, and in
instances that name no study.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.index.storage.spool import HANDED, SPOOL

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.privacy.deidentify import SecretKey


def discard_of_patient(index: CaseIndex, key: SecretKey, patient_key: str) -> bool:
    """Delete every waiting instance whose header names this patient; whether there was any. A job of whose
    files none is left is cancelled.
    """
    uploads, found = index.home / UPLOADS, False
    batches = {uploads / Path(one).name: job for job, one in index.received_batches.unread().items()}
    marked = (one.with_suffix("") for one in uploads.glob(f"*{HANDED}"))
    for folder in {*batches, *marked, *(index.home / SPOOL).glob("[!.]*")}:
        for file in _of_patient(folder, key, patient_key):
            with suppress(FileNotFoundError):  # it was handed over in this moment
                file.unlink()
                found = True
        with suppress(OSError):
            folder.rmdir()
            if folder in batches:
                index.jobs.cancel(batches[folder])
    return found


def _of_patient(folder: Path, key: SecretKey, patient_key: str) -> Iterator[Path]:
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.scan.scan import scan_file

    for file in sorted(folder.glob("*.dcm")):
        with suppress(FileNotFoundError):
            state = file.stat()
            scanned = scan_file(FoundFile(str(file), state.st_size, state.st_mtime_ns), key)
            if scanned.patient_key == patient_key:
                yield file
