"""One association: its negotiation, then C-ECHO, C-STORE and storage commitment until it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medsiglip.ingest.receiving import commands
from medsiglip.ingest.receiving.commands import Command
from medsiglip.ingest.receiving.commitment import Commitments
from medsiglip.ingest.receiving.negotiation import (
    ACCEPTED,
    STORAGE_COMMITMENT,
    VERIFICATION,
    Context,
    Proposal,
    acceptance,
    is_allowed,
    is_storage,
    read_proposal,
)
from medsiglip.ingest.receiving.options import ReceiverOptions, Receiving
from medsiglip.ingest.receiving.places import Places
from medsiglip.ingest.receiving.refusals import Refusals
from medsiglip.ingest.receiving.spool import (
    Announced,
    Arriving,
    BadDataSetError,
    MismatchError,
    Spool,
    SpoolFullError,
)
from medsiglip.ingest.receiving.upper_layer import (
    ASSOCIATE_RQ,
    MAX_NEGOTIATION,
    P_DATA,
    RELEASE_RQ,
    ClosedError,
    Fragment,
    ProtocolError,
    UpperLayer,
    fragments,
)

# PS3.4, table B.2-1; PS3.7, annex C.
SUCCESS, OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
CLASS_NOT_SUPPORTED, UNRECOGNISED_OPERATION = 0x0122, 0x0211
# Largest data set of a request for commitment: some tens of thousands of instances.
_MAX_ACTION = 1 << 23
_log = logging.getLogger("medsiglip.receiving")


@dataclass(frozen=True, slots=True)
class Receiver:
    """What all associations of a process share."""

    options: ReceiverOptions
    receiving: Receiving
    spool: Spool
    places: Places
    refusals: Refusals
    is_stopping: Callable[[], bool]

    def note_refusal(self, calling_ae: str, address: str, reason: str) -> None:
        """Count an association that was refused."""
        self.refusals.note(calling_ae, address, reason)
        self.receiving.on_refused(calling_ae, reason)


@dataclass(slots=True)
class _Message:
    """A message that is being received: its command, and what its data set is written to."""

    context: Context
    encoded: bytearray = field(default_factory=bytearray)
    command: Command | None = None
    arriving: Arriving | None = None
    data: bytearray = field(default_factory=bytearray)
    read: int = 0
    status: int = SUCCESS


class Association:
    """Answers what one sender asks, in the calling thread."""

    def __init__(self, layer: UpperLayer, address: str, receiver: Receiver) -> None:
        self._layer, self._address, self._receiver = layer, address, receiver
        self._contexts: dict[int, Context] = {}
        self._calling_ae = ""
        self._message: _Message | None = None
        self._commitments = Commitments(layer, receiver.receiving)

    def run(self, on_open: Callable[[], None]) -> None:
        """Until the association ends; the connection is closed then. `on_open` is called when it is accepted
        or refused.
        """
        place: int | None = None
        try:
            place = self._negotiate()
            on_open()
            while place is not None and self._serve_next():
                pass
        except ProtocolError:
            self._abort()
        except ClosedError:
            pass
        finally:
            if place is not None:
                os.close(place)
            try:
                if self._message is not None and self._message.arriving is not None:
                    self._message.arriving.discard()
            finally:
                self._layer.close()

    def _abort(self) -> None:
        with suppress(ClosedError):
            self._layer.abort()

    def _negotiate(self) -> int | None:
        """The place of the association, None where it was refused."""
        self._layer.wait(self._receiver.options.acse_seconds, self._may_go_on)
        kind, content = self._layer.read(MAX_NEGOTIATION)
        if kind != ASSOCIATE_RQ:
            raise ProtocolError
        proposal = read_proposal(content)
        refusal = self._refusal(proposal)
        place = self._receiver.places.take(proposal.calling_ae) if refusal is None else None
        if place is None:
            reason, numbers = refusal or ("limit", (2, 3, 2))
            self._receiver.note_refusal(proposal.calling_ae, self._address, reason)
            self._layer.reject(*numbers)
            return None
        self._calling_ae = proposal.calling_ae
        self._contexts = {one.number: one for one in proposal.contexts if one.result == ACCEPTED}
        if proposal.longest_pdu:
            self._layer.longest_sent = max(proposal.longest_pdu, 64)
        try:
            self._layer.send(acceptance(proposal))
        except BaseException:
            os.close(place)
            raise
        return place

    def _refusal(self, proposal: Proposal) -> tuple[str, tuple[int, int, int]] | None:
        """Why an association is refused, with result, source and reason (PS3.8, table 9-21)."""
        if not proposal.knows_dicom:
            return "application-context", (1, 1, 2)
        if proposal.called_ae != self._receiver.options.ae_title:
            return "called-ae", (1, 1, 7)
        if not is_allowed(self._receiver.options.allowed, proposal.calling_ae, self._address):
            return "calling-ae", (1, 1, 3)
        return None

    def _may_go_on(self) -> bool:
        if self._receiver.is_stopping():
            return False
        self._commitments.report_if_due()
        return True

    def _serve_next(self) -> bool:
        """Serve the next PDU; False at the end of the association."""
        if self._message is None:
            if self._receiver.is_stopping():
                raise ProtocolError
            self._layer.wait(self._receiver.options.idle_seconds, self._may_go_on)
        kind, content = self._layer.read()
        if kind == P_DATA:
            for fragment in fragments(content):
                self._take(fragment)
            return True
        if kind == RELEASE_RQ:
            self._layer.answer_release()
            return False
        raise ClosedError if kind > RELEASE_RQ else ProtocolError

    def _take(self, fragment: Fragment) -> None:
        message = self._message
        if message is None:
            context = self._contexts.get(fragment.context_id)
            if context is None or not fragment.is_command:
                raise ProtocolError
            message = self._message = _Message(context)
        if fragment.context_id != message.context.number or fragment.is_command != (message.command is None):
            raise ProtocolError
        if fragment.is_command:
            message.encoded += fragment.data
            if len(message.encoded) > commands.MAX_COMMAND:
                raise ProtocolError
            if fragment.is_last:
                message.command = Command(bytes(message.encoded))
                self._begin(message, message.command)
        else:
            self._take_data(message, fragment)
        command = message.command
        if fragment.is_last and command is not None and (not fragment.is_command or not command.has_data_set):
            self._message = None
            self._answer(message, command)

    def _begin(self, message: _Message, command: Command) -> None:
        """Prepare for the data set that follows."""
        if command.field != commands.C_STORE or not command.has_data_set:
            return
        context = message.context
        sop_class, instance = command.uid(commands.AFFECTED_CLASS), command.uid(commands.AFFECTED_INSTANCE)
        if not command.holds_uid(commands.AFFECTED_INSTANCE):
            message.status = CANNOT_UNDERSTAND
            return
        if not is_storage(context.abstract_syntax) or sop_class not in ("", context.abstract_syntax):
            message.status = CLASS_NOT_SUPPORTED
            return
        announced = Announced(
            context.abstract_syntax,
            instance,
            context.transfer_syntax,
            self._calling_ae,
            self._receiver.options.ae_title,
        )
        try:
            message.arriving = self._receiver.spool.begin(announced)
        except (SpoolFullError, OSError) as error:
            self._refuse_data(message, error)

    def _take_data(self, message: _Message, fragment: Fragment) -> None:
        message.read += len(fragment.data)
        if message.arriving is not None:
            try:
                message.arriving.write(fragment.data)
            except (SpoolFullError, OSError) as error:
                self._refuse_data(message, error)
        elif message.command is not None and message.command.field == commands.N_ACTION:
            message.data += fragment.data
            if len(message.data) > _MAX_ACTION:
                raise ProtocolError
        # What is refused is read to its end, so that it can be answered, but not for ever.
        elif message.read > 2 * self._receiver.spool.largest_bytes:
            raise ProtocolError

    def _refuse_data(self, message: _Message, error: Exception) -> None:
        if message.arriving is not None:
            message.arriving.discard()
            message.arriving = None
        message.status = OUT_OF_RESOURCES
        if isinstance(error, OSError):
            _log.error("an instance cannot be written: %s", os.strerror(error.errno or 0))

    def _answer(self, message: _Message, command: Command) -> None:
        number = message.context.number
        if command.field & commands.ANSWER:
            self._commitments.answered(command)
        elif command.field == commands.C_STORE:
            status = self._store(message)
            if status != SUCCESS:
                self._receiver.receiving.on_failed(self._calling_ae, status)
            self._layer.send_message(number, commands.answer(command, status))
        elif command.field == commands.C_ECHO and message.context.abstract_syntax == VERIFICATION:
            self._layer.send_message(number, commands.answer(command, SUCCESS))
        elif command.field == commands.N_ACTION and message.context.abstract_syntax == STORAGE_COMMITMENT:
            data, has_room = bytes(message.data), self._has_room()
            self._commitments.ask(message.context, command, data, self._calling_ae, has_room=has_room)
        elif command.field != commands.C_CANCEL:
            self._layer.send_message(number, commands.answer(command, UNRECOGNISED_OPERATION))

    def _has_room(self) -> bool:
        try:
            self._receiver.spool.check_room()
        except (SpoolFullError, OSError):
            return False
        return True

    def _store(self, message: _Message) -> int:
        """The status of a C-STORE whose data set has come."""
        if message.arriving is None:
            return message.status or CANNOT_UNDERSTAND
        try:
            file = message.arriving.finish()
        except BadDataSetError:
            return CANNOT_UNDERSTAND
        except MismatchError:
            return MISMATCH
        except OSError as error:
            _log.error("an instance cannot be kept: %s", os.strerror(error.errno or 0))
            return OUT_OF_RESOURCES
        self._tell(file)
        return SUCCESS

    def _tell(self, file: Path) -> None:
        try:
            self._receiver.receiving.on_stored(file.parent, file, self._calling_ae)
        except Exception as error:  # the instance is on the disk, and found there later
            _log.error("a stored instance could not be announced: %s", type(error).__name__)
