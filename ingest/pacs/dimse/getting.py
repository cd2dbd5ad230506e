"""C-GET: instances come on the association that asks for them (PS3.4, C.4.3), kept as they are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import cast

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation

from medsiglip.ingest.errors import HeaderRefusedError, PacsError
from medsiglip.ingest.header.fast_header import fast_elements
from medsiglip.ingest.pacs.arriving_file import ArrivingFile
from medsiglip.ingest.pacs.client import Spend
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.asking import retrieval_identifier
from medsiglip.ingest.pacs.dimse.association import MOST_OF_AN_INSTANCE, Conversation, open_association
from medsiglip.ingest.pacs.dimse.contexts import (
    STUDY_ROOT_GET,
    packed,
    question_contexts,
    receiving_roles,
    storage_contexts,
)
from medsiglip.ingest.pacs.dimse.meta_information import meta_information
from medsiglip.ingest.pacs.dimse.portions import Portion, smaller
from medsiglip.ingest.pacs.dimse.statuses import CANCELLED, IN_PART, PENDING, SUCCESS, failure
from medsiglip.ingest.pacs.records import PacsInstance

_OUT_OF_ROOM, _OF_ANOTHER_STUDY, _UNREADABLE = 0xA700, 0xA900, 0xC000
# A PACS may fetch from a slow archive before it sends the first instance.
_PATIENCE = 4
# Answers without an instance after which a request is given up.
_IDLE_ANSWERS = 10_000
_MORE_THAN_EXPECTED = 1000
# Offered where there is room, so that a PACS that does not know the others answers a role: CT, and secondary
# capture.
_KNOWN_EVERYWHERE = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7")
# Instances that a PACS fails at one after the other, until it is no longer asked for the next.
_MOST_FAILURES = 20


class Getting:
    """Fetches portions of studies; keeps its association as long as that offers what is needed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept: Conversation | None = None
        self._offered: tuple[str, ...] = ()
        self._has_roles = False
        self._folder = Path()
        self._study = ""
        self._arrived: deque[Path] = deque()
        self._sops: set[str] = set()
        self._allowed = 0
        self._problem: OSError | None = None

    def fetch_all(
        self,
        study_instance_uid: str,
        portions: Sequence[Portion],
        held: Sequence[PacsInstance],
        folder: Path,
        spend: Spend,
    ) -> Iterator[Path]:
        """The files of portions, as they come. Where the PACS fails at one, which an instance that it cannot
        read is enough for, smaller ones follow. Raises `PacsError`: the last failure if nothing came at all.
        """
        self._sops.clear()
        was_kept = self._kept is not None and self._kept.is_open
        left, failures, last = list(reversed(portions)), 0, None
        while left:
            portion = left.pop()
            spend(portion.count)
            try:
                yield from self.fetch(study_instance_uid, portion, folder)
            except PacsError as error:
                if error.code == "pacs-unreachable" and was_kept:
                    was_kept = False  # the PACS ended what had rested too long
                    left.append(portion)
                    continue
                if error.code != "pacs-failed" or self._problem is not None:
                    raise
                last = error
                failures += len(portion.instances) == 1
                if failures > _MOST_FAILURES:
                    raise
                left += reversed(smaller(portion, held, self._sops))
            else:
                failures = 0
        if last is not None and not self._sops:
            raise last

    def fetch(self, study_instance_uid: str, portion: Portion, folder: Path) -> Iterator[Path]:
        """The files of a portion, as they come. Raises `PacsError`; what the PACS could not send raises
        nothing.
        """
        conversation = self._conversation(portion.sop_classes)
        self._folder, self._study = folder, study_instance_uid
        self._arrived.clear()
        self._allowed, self._problem = 2 * portion.count + _MORE_THAN_EXPECTED, None
        question = retrieval_identifier(study_instance_uid, portion.series_instance_uid, portion.instances)
        status: int | None = None
        with conversation.operation(_PATIENCE * self._connection.timeout_seconds, MOST_OF_AN_INSTANCE):
            for answered in self._statuses(conversation, question):
                status = answered
                while self._arrived:
                    yield self._arrived.popleft()
            if status is None:
                raise conversation.lost()
        yield from self._arrived
        if self._problem is not None:
            raise _not_written(self._connection.name) from self._problem
        if status not in (SUCCESS, CANCELLED) and status not in IN_PART:
            raise failure(self._connection.name, status)

    def _statuses(self, conversation: Conversation, question: Dataset) -> Iterator[int | None]:
        """The status of each answer, to the last; None where there is no further."""
        idle, allowed = 0, self._allowed
        message_id = conversation.next_message_id()
        for answered, _ in conversation.association.send_c_get(question, STUDY_ROOT_GET, msg_id=message_id):
            conversation.bounds.taken()
            status = answered.get("Status")
            yield None if status is None else int(status)
            if status is None or int(status) not in PENDING:
                return
            idle = idle + 1 if allowed == self._allowed else 0
            allowed = self._allowed
            if self._allowed < 0 or idle > _IDLE_ANSWERS:
                name = self._connection.name
                raise PacsError(
                    "pacs-bad-answer",
                    f"{name} does not end what it was asked for: look into its log.",
                )

    def _conversation(self, needed: tuple[str, ...]) -> Conversation:
        kept = self._kept
        if kept is not None and kept.is_open and set(needed) <= set(self._offered):
            return kept
        self.close()
        # What was needed before is likely to be needed again.
        self._offered = packed((*needed, *self._offered, *_KNOWN_EVERYWHERE))[0]
        conversation = open_association(
            self._connection,
            [*question_contexts(STUDY_ROOT_GET)[:1], *storage_contexts(self._offered)],
            receiving_roles(self._offered),
            [(evt.EVT_C_STORE, self._take), (evt.EVT_ACSE_RECV, self._with_roles)],
        )
        if not conversation.accepts(STUDY_ROOT_GET) or not self._has_roles:
            conversation.release()
            raise PacsError(
                "pacs-refused",
                f"{self._connection.name} does not send by C-GET to this AE title: allow it there, or give "
                "retrieve=move with move_destination, or a DICOMweb URL.",
            )
        self._kept = conversation
        return conversation

    def _with_roles(self, event: evt.Event) -> None:
        """Enter the roles that were offered where the PACS answers none: dcmtk accepts contexts of classes
        that it does not know without a role, and Orthanc sends on them all the same.
        """
        answer = getattr(event, "primitive", None)
        if not isinstance(answer, A_ASSOCIATE) or answer.result != 0:
            return
        answered = {
            str(item.sop_class_uid)
            for item in answer.user_information
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
        }
        self._has_roles = bool(answered)
        missing = [uid for uid in self._offered if uid not in answered]
        if answered:
            answer.user_information.extend(receiving_roles(missing))

    def _take(self, event: evt.Event) -> int:
        """Write an instance before its sender hears of success; the status of the answer."""
        request = cast(C_STORE, event.request)
        self._allowed -= 1
        if self._kept is not None:
            self._kept.bounds.taken()
        if request.DataSet is None or self._allowed < 0:
            return _UNREADABLE
        content = request.DataSet.getbuffer()
        connection = self._connection
        head = meta_information(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
            connection.ae_title or "",
            connection.calling_ae_title,
        )
        if not self._is_of_the_study(head, content):
            return _OF_ANOTHER_STUDY
        try:
            self._arrived.append(self._written(head, content))
            self._sops.add(str(request.AffectedSOPInstanceUID))
        except OSError as error:
            self._problem = error
            return _OUT_OF_ROOM
        return SUCCESS

    def _written(self, *parts: bytes | memoryview) -> Path:
        file = ArrivingFile(self._folder)
        try:
            for part in parts:
                file.write(part)
            return file.keep()
        finally:
            file.discard()

    def _is_of_the_study(self, head: bytes, content: memoryview) -> bool:
        """Whether an instance says that it is of the study that is asked for, or cannot be read so far."""
        try:
            # The elements that matter lie before the pixel data.
            elements = fast_elements(BytesIO(head + bytes(content[: 1 << 20])))
        except (HeaderRefusedError, OSError):
            return True
        stated = "" if elements is None else str(elements.values.get("StudyInstanceUID", ""))
        return stated.strip(" \0") in ("", self._study)

    def close(self) -> None:
        """Release the association."""
        if self._kept is not None:
            self._kept.release()
            self._kept = None


def _not_written(name: str) -> PacsError:
    return PacsError(
        "pacs-failed",
        f"Instances of {name} could not be written: look at the free space and the permissions of the home.",
        may_pass=True,
    )
