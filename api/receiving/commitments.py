"""Storage commitment of a home: an instance is committed to while a file of it is on the disk.

A strict home keeps no files and commits to nothing.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.index.storage.spool import SPOOL
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving.commitment import outcome_of, report_to
from medsiglip.ingest.receiving.options import CommitmentOutcome, ReceiverOptions
from medsiglip.ingest.receiving.spool import spooled

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

_log = logging.getLogger("medsiglip.receiver")


def outcome(archive: OpenedArchive, request: CommitmentRequest) -> CommitmentOutcome:
    """Which instances of a request this home keeps. Raises CatalogError where it cannot be said now."""
    if archive.index.phi == "strict":
        return outcome_of(request, {})
    kept: dict[str, set[str]] = {}
    asked = {uid for _, uid in request.instances}
    for uid, found in archive.index.kept_instances.files_of(asked).items():
        classes = {sop_class for sop_class, path in found if os.path.exists(path.partition("!/")[0])}
        if classes:
            kept[uid] = classes
    # What waits, and what holds no picture, is in no table: the names of files say which it is.
    for folder in (SPOOL, UPLOADS):
        missing = asked.difference(kept)
        if missing:
            kept.update({uid: {""} for uid in spooled([archive.home / folder], missing)})
    return outcome_of(request, kept)


def report_due(archive: OpenedArchive, options: ReceiverOptions) -> int:
    """Report the requests that were not answered on their own association, and are due; how many were.

    A peer that does not answer is asked again later, with all of its requests that are due: others do not
    wait for it. One whose address is not known stays unanswered.
    """
    store, count, away = archive.index.storage_commitments, 0, set[str]()
    for request in store.due():
        if request.calling_ae in away:
            store.later(request.calling_ae, request.transaction_uid)
            continue
        peer = options.peer(request.calling_ae)
        try:
            if peer is None:
                raise PacsError("unknown-peer", f"Where {request.calling_ae} takes reports is not known.")
            report_to(peer, options.ae_title, request, outcome(archive, request))
        except PacsError as error:
            _log.warning("%s (%s)", error, error.code)
            store.later(request.calling_ae, request.transaction_uid)
            if error.code != "pacs-failed":  # which is about this request alone
                away.add(request.calling_ae)
            continue
        store.answered(request.calling_ae, request.transaction_uid)
        count += 1
    return count
