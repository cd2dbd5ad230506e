"""Command sets of DIMSE messages (PS3.7, section 6.3.1 and annex E): implicit VR little endian, group 0."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from medsiglip.ingest.receiving.upper_layer import ProtocolError

MAX_COMMAND = 1 << 16
GROUP_LENGTH, AFFECTED_CLASS, REQUESTED_CLASS, FIELD = 0x0000, 0x0002, 0x0003, 0x0100
MESSAGE_ID, ANSWERED_ID, DATA_SET_TYPE, STATUS, COMMENT = 0x0110, 0x0120, 0x0800, 0x0900, 0x0902
AFFECTED_INSTANCE, REQUESTED_INSTANCE, EVENT_TYPE, ACTION_TYPE = 0x1000, 0x1001, 0x1002, 0x1008
NO_DATA_SET, SOME_DATA_SET = 0x0101, 0x0001
C_STORE, C_ECHO, C_CANCEL, N_EVENT_REPORT, N_ACTION, ANSWER = 0x0001, 0x0030, 0x0FFF, 0x0100, 0x0130, 0x8000
_HEADER = struct.Struct("<HHI")


class Command:
    """The elements of a command set, by element number."""

    def __init__(self, encoded: bytes) -> None:
        self._elements: dict[int, bytes] = {}
        at = 0
        while at < len(encoded):
            if at + _HEADER.size > len(encoded):
                raise ProtocolError
            group, element, length = _HEADER.unpack_from(encoded, at)
            at += _HEADER.size
            if group != 0 or at + length > len(encoded):
                raise ProtocolError
            self._elements[element] = encoded[at : at + length]
            at += length
        self.field = self.number(FIELD)
        self.message_id = self.number(MESSAGE_ID)

    def number(self, element: int, default: int = 0) -> int:
        """The value of an element of VR US."""
        value = self._elements.get(element, b"")
        return int.from_bytes(value, "little") if len(value) == 2 else default

    def uid(self, element: int) -> str:
        """The UID of an element, or whatever stands there; "" where there is nothing, or what no element of
        VR UI can hold.
        """
        text = self._elements.get(element, b"").decode("ascii", "replace").strip(" \0")
        return text if len(text) <= 64 and text.isascii() and text.isprintable() else ""

    def holds_uid(self, element: int) -> bool:
        """Whether an element is blank or holds what an element of VR UI can hold."""
        return bool(self.uid(element)) or not self._elements.get(element, b"").strip(b" \0")

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.number(DATA_SET_TYPE, NO_DATA_SET) != NO_DATA_SET


def answer(command: Command, status: int, *, action_type: int | None = None, comment: str = "") -> bytes:
    """The response to a request, which repeats its class and instance (PS3.7, chapters 9 and 10)."""
    is_normalised = command.field == N_ACTION
    sop_class = command.uid(REQUESTED_CLASS if is_normalised else AFFECTED_CLASS)
    instance = command.uid(REQUESTED_INSTANCE if is_normalised else AFFECTED_INSTANCE)
    values: dict[int, int | str] = {
        AFFECTED_CLASS: sop_class,
        FIELD: command.field | ANSWER,
        ANSWERED_ID: command.message_id,
        DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
        COMMENT: comment[:64],
        AFFECTED_INSTANCE: instance,
    }
    if action_type is not None:
        values[ACTION_TYPE] = action_type
    return encoded(values)


def encoded(values: Mapping[int, int | str]) -> bytes:
    """A command set of numbers (US) and texts; empty texts are left out."""
    elements = b""
    for element, value in sorted(values.items()):
        if value == "":
            continue
        content = struct.pack("<H", value) if isinstance(value, int) else value.encode("ascii")
        if len(content) % 2:
            content += b" " if element == COMMENT else b"\0"
        elements += _HEADER.pack(0, element, len(content)) + content
    return _HEADER.pack(0, GROUP_LENGTH, 4) + struct.pack("<I", len(elements)) + elements
