"""One of the processes of a receiver: it answers associations, and counts what came."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.receiving.commitments import outcome
from medsiglip.api.receiving.state import Counts, StateFile
from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.index.storage.spool import SPOOL
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving.listening import inherited
from medsiglip.ingest.receiving.options import (
    CommitmentOutcome,
    ReceiverOptions,
)
from medsiglip.ingest.receiving.server import serve

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


class Received:
    """What becomes of what comes: `medsiglip.ingest.receiving.options.Receiving`. Instances need no
    catalogue, which may be away; requests of storage commitment do.
    """

    def __init__(self, archive: OpenedArchive, counts: Counts) -> None:
        self._archive = archive
        self._counts = counts
        self._lock = threading.Lock()

    def on_stored(self, folder: Path, file: Path, calling_ae: str) -> None:
        """Count an instance."""
        with self._lock:
            self._counts.received += 1
            self._counts.last_received_at = datetime.now(UTC).isoformat(timespec="seconds")

    def on_failed(self, calling_ae: str, status: int) -> None:
        """Count an instance that was refused."""
        with self._lock:
            self._counts.failed += 1

    def on_refused(self, calling_ae: str, reason: str) -> None:
        """An association was refused, and logged."""

    def on_commitment(self, request: CommitmentRequest) -> None:
        """Store a request. A strict home commits to nothing, and stores no UID of a sender."""
        if self._archive.index.phi == "strict":
            raise PacsError("strict-home", "A strict home keeps no files, and commits to nothing.")
        self._archive.index.storage_commitments.add(request)

    def commitment_outcome(self, request: CommitmentRequest) -> CommitmentOutcome:
        """What of it this home keeps."""
        return outcome(self._archive, request)

    def on_reported(self, request: CommitmentRequest) -> None:
        """A request is answered."""
        self._archive.index.storage_commitments.answered(request.calling_ae, request.transaction_uid)


def receive_on(
    archive: OpenedArchive,
    options: ReceiverOptions,
    descriptor: int,
    place: str,
    stopping: threading.Event,
) -> None:
    """Answer associations on the inherited port until `stopping` is set."""
    counts = Counts()
    state = StateFile(archive.home, place, counts)
    state.start()
    try:
        received = Received(archive, counts)
        serve(inherited(descriptor), archive.home / SPOOL, options, received, stopping)
    finally:
        state.stop()
