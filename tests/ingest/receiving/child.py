"""One process of a receiver: `python child.py DESCRIPTOR FOLDER OPTIONS`, until its input ends.

It writes a line to its output for each instance that was stored.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.ingest.receiving.commitment import outcome_of
from medsiglip.ingest.receiving.listening import inherited
from medsiglip.ingest.receiving.options import (
    CommitmentOutcome,
    ReceiverOptions,
    TlsFiles,
    allowed_sender,
)
from medsiglip.ingest.receiving.server import serve
from medsiglip.ingest.receiving.spool import spooled


class Lines:
    """What the receiver tells, as lines. What is spooled is committed to."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming

    def _say(self, *words: str) -> None:
        os.write(1, (" ".join(words) + "\n").encode())

    def on_stored(self, folder: Path, file: Path, calling_ae: str) -> None:
        self._say("stored", calling_ae, folder.name, file.name)

    def on_failed(self, calling_ae: str, status: int) -> None:
        self._say("failed", calling_ae, f"{status:04X}")

    def on_commitment(self, request: CommitmentRequest) -> None:
        self._say("asked", request.calling_ae, request.transaction_uid, str(len(request.instances)))

    def commitment_outcome(self, request: CommitmentRequest) -> CommitmentOutcome | None:
        found = spooled([self._incoming], [uid for _, uid in request.instances])
        return outcome_of(request, {uid: {""} for uid in found})

    def on_reported(self, request: CommitmentRequest) -> None:
        self._say("reported", request.calling_ae, request.transaction_uid)

    def on_refused(self, calling_ae: str, reason: str) -> None:
        self._say("refused", calling_ae, reason)


def main(descriptor: int, folder: Path, given: dict[str, Any]) -> None:
    allowed = tuple(allowed_sender(text) for text in given.pop("allowed", ()))
    tls = given.pop("tls", None)
    files = None if tls is None else TlsFiles(**{name: Path(path) for name, path in tls.items()})
    options = ReceiverOptions(**given, allowed=allowed, tls=files)
    stopping = threading.Event()

    def stop_with_input() -> None:
        while os.read(0, 64):
            pass
        stopping.set()

    threading.Thread(target=stop_with_input, daemon=True).start()
    os.write(1, b"ready\n")
    serve(inherited(descriptor), folder, options, Lines(folder), stopping)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
