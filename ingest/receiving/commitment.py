"""Storage commitment (PS3.4, annex J): requests, and reports on the same or on a new association."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.ingest.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.receiving import commands
from medsiglip.ingest.receiving.commands import Command
from medsiglip.ingest.receiving.negotiation import COMMITMENT_INSTANCE, STORAGE_COMMITMENT, Context
from medsiglip.ingest.receiving.options import CommitmentOutcome, Peer, Receiving
from medsiglip.ingest.receiving.spool import READING
from medsiglip.ingest.receiving.upper_layer import UpperLayer

if TYPE_CHECKING:
    from pydicom import Dataset

NO_SUCH_INSTANCE = 0x0112
"""Failure Reason of an instance that is not kept (PS3.3, C.14.1.1)."""
CLASS_CONFLICT = 0x0119
"""Failure Reason of an instance that is kept as one of another SOP class."""
_SUCCESS, _PROCESSING_FAILURE, _INVALID_ARGUMENT, _NO_SUCH_ACTION = 0x0000, 0x0110, 0x0115, 0x0123
_RESOURCE_LIMITATION = 0x0213
_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 1.0, 2.0
_MAX_INSTANCES = 100_000
# Requests of one association that wait for their report, or for its answer.
_MAX_REQUESTS = 1000
_ITEM_TAG = b"\xfe\xff\x00\xe0"
_ALL_COMMITTED, _SOME_FAILED = 1, 2
_log = logging.getLogger("medsiglip.receiving")


class Commitments:
    """The requests that came on one association."""

    def __init__(self, layer: UpperLayer, receiving: Receiving) -> None:
        self._layer, self._receiving = layer, receiving
        self._open: list[tuple[Context, CommitmentRequest]] = []
        self._reported: dict[int, CommitmentRequest] = {}
        self._next_id = 1
        self._look_at = 0.0

    def ask(
        self, context: Context, command: Command, data: bytes, calling_ae: str, *, has_room: bool = True
    ) -> None:
        """Keep a request and answer it. It is reported a little later: senders that take no report on this
        association release it now, and would be given one in place of the end that they wait for. None is
        kept where the disk has no room.
        """
        action = command.number(commands.ACTION_TYPE)
        request = None
        if command.uid(commands.REQUESTED_INSTANCE) != COMMITMENT_INSTANCE:
            status = NO_SUCH_INSTANCE
        elif action != 1:
            status = _NO_SUCH_ACTION
        elif not has_room or self._is_full():
            status = _RESOURCE_LIMITATION
        else:
            request = read_request(data, context.transfer_syntax, calling_ae)
            status = _INVALID_ARGUMENT if request is None else self._kept(request)
        answer = commands.answer(command, status, action_type=action)
        self._layer.send_message(context.number, answer)
        if request is not None and status == _SUCCESS:
            self._open.append((context, request))
            self._look_at = time.monotonic() + _FIRST_LOOK_SECONDS

    def _is_full(self) -> bool:
        """Whether as much waits for its report as may: a sender may ask on and on without a pause."""
        waiting = sum(len(request.instances) for _, request in self._open)
        return len(self._open) >= _MAX_REQUESTS or waiting >= _MAX_INSTANCES

    def _kept(self, request: CommitmentRequest) -> int:
        try:
            self._receiving.on_commitment(request)
        except PacsError:  # a home that commits to nothing
            return _PROCESSING_FAILURE
        except Exception as error:  # such as a catalogue that is away: the sender asks again
            _log.error("a request for commitment could not be kept: %s", type(error).__name__)
            return _PROCESSING_FAILURE
        return _SUCCESS

    def report_if_due(self) -> None:
        """Report on this association the requests of which everything is known by now, but do not look all
        the time.
        """
        if self._open and time.monotonic() >= self._look_at:
            self._report()

    def _report(self) -> None:
        self._look_at = time.monotonic() + _LOOK_SECONDS
        waiting = []
        for context, request in self._open:
            outcome = self._outcome(request)
            if outcome is None:
                waiting.append((context, request))
                continue
            command = commands.encoded(
                {
                    commands.AFFECTED_CLASS: STORAGE_COMMITMENT,
                    commands.FIELD: commands.N_EVENT_REPORT,
                    commands.MESSAGE_ID: self._next_id,
                    commands.DATA_SET_TYPE: commands.SOME_DATA_SET,
                    commands.AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
                    commands.EVENT_TYPE: _event(outcome),
                }
            )
            self._reported[self._next_id] = replace(request, instances=())
            if len(self._reported) > _MAX_REQUESTS:  # never answered: reported again another time
                del self._reported[next(iter(self._reported))]
            self._next_id = self._next_id % 0xFFFF + 1
            report = _encoded(report_of(request, outcome), context.transfer_syntax)
            self._layer.send_message(context.number, command, report)
        self._open = waiting

    def _outcome(self, request: CommitmentRequest) -> CommitmentOutcome | None:
        try:
            return self._receiving.commitment_outcome(request)
        except Exception as error:
            _log.error("what is kept cannot be said now: %s", type(error).__name__)
            return None

    def answered(self, command: Command) -> None:
        """The sender has answered a report."""
        request = self._reported.pop(command.number(commands.ANSWERED_ID), None)
        if request is None or command.field != commands.N_EVENT_REPORT | commands.ANSWER:
            return
        if command.number(commands.STATUS, 0xFFFF) == _SUCCESS:
            try:
                self._receiving.on_reported(request)
            except Exception as error:  # it is reported again, which does no harm
                _log.error("a report of commitment could not be noted: %s", type(error).__name__)


def read_request(data: bytes, transfer_syntax: str, calling_ae: str) -> CommitmentRequest | None:
    """The request of an N-ACTION's data set (PS3.4, table J.3-1), None for one that cannot be read."""
    if data.count(_ITEM_TAG) > _MAX_INSTANCES:
        return None
    with READING:
        return _read_request(data, transfer_syntax, calling_ae)


def _read_request(data: bytes, transfer_syntax: str, calling_ae: str) -> CommitmentRequest | None:
    from pydicom.filereader import read_dataset

    try:
        with quiet():
            dataset = read_dataset(
                BytesIO(data), is_implicit_VR=transfer_syntax == IMPLICIT, is_little_endian=True
            )
            transaction = _uid(dataset, "TransactionUID")
            items = dataset.ReferencedSOPSequence
            instances = [
                (_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))
                for item in items
            ]
    except Exception:  # whatever pydicom raises, RecursionError with it
        return None
    if not transaction or not instances or len(instances) > _MAX_INSTANCES:
        return None
    return CommitmentRequest(calling_ae, transaction, instances)


def _uid(dataset: Dataset, keyword: str) -> str:
    text = str(getattr(dataset, keyword))
    if not 0 < len(text) <= 64 or not text.isascii() or not text.replace(".", "").isdigit():
        raise ValueError(keyword)
    return text


def report_of(request: CommitmentRequest, outcome: CommitmentOutcome) -> Dataset:
    """The Event Information of a report (PS3.4, table J.3-2)."""
    from pydicom import Dataset

    report = Dataset()
    report.TransactionUID = request.transaction_uid
    if outcome.committed:
        report.ReferencedSOPSequence = [_item(*pair) for pair in outcome.committed]
    if outcome.failed:
        report.FailedSOPSequence = [_item(*failed) for failed in outcome.failed]
    return report


def _item(sop_class_uid: str, sop_instance_uid: str, reason: int | None = None) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def _event(outcome: CommitmentOutcome) -> int:
    return _SOME_FAILED if outcome.failed else _ALL_COMMITTED


def _encoded(dataset: Dataset, transfer_syntax: str) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, transfer_syntax == IMPLICIT
    write_dataset(file, dataset)
    return file.getvalue()


def outcome_of(request: CommitmentRequest, kept: dict[str, set[str]]) -> CommitmentOutcome:
    """The outcome of a request, given the SOP classes under which each SOP Instance UID is kept; an empty
    class fits any.
    """
    committed: list[tuple[str, str]] = []
    failed: list[tuple[str, str, int]] = []
    for sop_class, instance in request.instances:
        classes = kept.get(instance)
        if classes is None:
            failed.append((sop_class, instance, NO_SUCH_INSTANCE))
        elif sop_class in classes or "" in classes:
            committed.append((sop_class, instance))
        else:
            failed.append((sop_class, instance, CLASS_CONFLICT))
    return CommitmentOutcome(committed, failed)


def report_to(peer: Peer, ae_title: str, request: CommitmentRequest, outcome: CommitmentOutcome) -> None:
    """Report on a new association to where the sender listens, in the role of the SCP (PS3.4, J.3.3).

    Raises `PacsError`: `pacs-unreachable`, `pacs-refused`, `pacs-timeout`, `pacs-failed`.
    """
    from pynetdicom import AE, build_role

    ae: Any = AE(ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30.0
    ae.connection_timeout = 10.0
    ae.add_requested_context(STORAGE_COMMITMENT, [EXPLICIT, IMPLICIT])
    role = build_role(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title, ext_neg=[role])
    if not association.is_established:
        refused = association.is_rejected
        raise PacsError(
            "pacs-refused" if refused else "pacs-unreachable",
            f"{peer.ae_title} takes no report of storage commitment at {peer.host}:{peer.port}; check that "
            f"it listens there and knows {ae_title}.",
            may_pass=True,
        )
    try:
        report = report_of(request, outcome)
        status, _ = association.send_n_event_report(
            report, _event(outcome), STORAGE_COMMITMENT, COMMITMENT_INSTANCE
        )
    except ValueError:  # pynetdicom finds no context in which this side is the SCP
        raise PacsError(
            "pacs-refused",
            f"{peer.ae_title} takes no reports from {ae_title}: let it accept {ae_title} as the SCP of "
            "storage commitment (role selection).",
            may_pass=True,
        ) from None
    except RuntimeError:  # pynetdicom finds the association ended
        raise PacsError(
            "pacs-unreachable", f"{peer.ae_title} has ended the association of a report.", may_pass=True
        ) from None
    finally:
        association.release()
    if not status:
        raise PacsError("pacs-timeout", f"{peer.ae_title} has not answered a report.", may_pass=True)
    if status.Status != _SUCCESS:
        raise PacsError(
            "pacs-failed",
            f"{peer.ae_title} answers a report with status {status.Status:04X}.",
            may_pass=True,
        )
