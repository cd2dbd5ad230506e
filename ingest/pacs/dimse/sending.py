"""C-STORE: instances are sent as they lie in their files (PS3.4, annex B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import _config

from medsiglip.ingest.dicom.transfer_syntaxes import BIG_ENDIAN, DEFLATED, EXPLICIT
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.client import Spend
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.association import Conversation, open_association
from medsiglip.ingest.pacs.dimse.contexts import MOST_CONTEXTS, sending_contexts
from medsiglip.ingest.pacs.dimse.statuses import store_may_pass
from medsiglip.ingest.pacs.records import StoreOutcome
from medsiglip.ingest.privacy.quiet import quiet

_UNREADABLE, _CLASS_NOT_SUPPORTED, _NO_ANSWER = 0xC000, 0x0122, 0x0110
_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class _Described:
    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class Sending:
    """Sends files; keeps its association as long as that offers what is needed."""

    def __init__(self, connection: Connection, spend: Spend) -> None:
        self._connection = connection
        self._spend = spend
        self._kept: Conversation | None = None
        self._offered: frozenset[tuple[str, str]] = frozenset()

    def send(self, files: Sequence[Path]) -> list[StoreOutcome]:
        """One outcome for each file, in their order. Raises `PacsError` where nothing could be sent because
        there is no association; one that is lost later is made anew for the next file.
        """
        described = [_described(file) for file in files]
        outcomes: list[StoreOutcome] = []
        for at, (file, one) in enumerate(zip(files, described, strict=True)):
            if one is None:
                outcomes.append(StoreOutcome(file, "", _UNREADABLE))
                continue
            self._spend(1)
            try:
                status = self._send_one(one, [later for later in described[at:] if later is not None])
            except PacsError as error:
                if not any(done.sop_instance_uid for done in outcomes):
                    raise
                status = _NO_ANSWER if error.may_pass else _CLASS_NOT_SUPPORTED
            outcomes.append(StoreOutcome(file, one.sop_instance_uid, status, store_may_pass(status)))
        return outcomes

    def _send_one(self, one: _Described, coming: Sequence[_Described]) -> int:
        """The status of one instance. An association that the PACS ended meanwhile is made anew once."""
        was_kept = self._kept is not None and self._kept.is_open
        status = self._answered(one, coming)
        if status is None and was_kept:
            status = self._answered(one, coming)
        return _NO_ANSWER if status is None else status

    def _answered(self, one: _Described, coming: Sequence[_Described]) -> int | None:
        conversation = self._conversation(one, coming)
        if conversation is None:
            return _CLASS_NOT_SUPPORTED
        exact = (one.sop_class_uid, one.transfer_syntax_uid) in conversation.accepted
        try:
            what = one.file if exact else _converted(one, conversation)
        except (OSError, InvalidDicomError):
            return _UNREADABLE
        if what is None:
            return _CLASS_NOT_SUPPORTED
        # The bytes of the file, neither decoded nor encoded anew.
        _config.STORE_SEND_CHUNKED_DATASET = True
        try:
            with conversation.operation(_PATIENCE * self._connection.timeout_seconds), quiet():
                answered = conversation.association.send_c_store(what, msg_id=conversation.next_message_id())
        except (RuntimeError, ValueError, AttributeError, OSError):
            return None if not conversation.is_open else _UNREADABLE
        status = answered.get("Status")
        if status is None:
            conversation.abort()
            return None
        return int(status)

    def _conversation(self, one: _Described, coming: Sequence[_Described]) -> Conversation | None:
        """An association on which the instance is offered; None where the PACS takes none of what is."""
        needed = (one.sop_class_uid, one.transfer_syntax_uid)
        if self._kept is not None and self._kept.is_open and needed in self._offered:
            return self._kept
        self.close()
        pairs: list[tuple[str, str]] = []
        for pair in dict.fromkeys((later.sop_class_uid, later.transfer_syntax_uid) for later in coming):
            if len(sending_contexts([*pairs, pair])) > MOST_CONTEXTS:
                break
            pairs.append(pair)
        self._kept = open_association(self._connection, sending_contexts(pairs))
        self._offered = frozenset(pairs)
        return self._kept

    def close(self) -> None:
        """Release the association."""
        if self._kept is not None:
            self._kept.release()
            self._kept = None


def _described(file: Path) -> _Described | None:
    """What the meta information of a file says, None where it cannot be sent."""
    try:
        with quiet():
            meta = read_file_meta_info(file)
            uids = [
                str(meta.get(keyword) or "")
                for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
            ]
    except Exception:  # pydicom may raise anything for a damaged file
        return None
    return _Described(file, *uids) if all(uids) else None


def _converted(one: _Described, conversation: Conversation) -> Dataset | None:
    """The data set of uncompressed pixels, for a PACS that takes them in another uncompressed syntax; None
    where it takes none, or the file would have to be decoded.
    """
    if one.transfer_syntax_uid not in (EXPLICIT, BIG_ENDIAN, DEFLATED):
        return None
    if one.transfer_syntax_uid == BIG_ENDIAN or not conversation.accepts(one.sop_class_uid):
        return None
    with quiet():
        return dcmread(one.file)
