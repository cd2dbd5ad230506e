"""Sending instances by STOW-RS (PS3.18, section 10.5): a request for each, so that a refused one stops no
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from medsiglip.ingest.pacs.records import StoreOutcome
from medsiglip.ingest.pacs.web.dicom_json import number_of, text_of, values_of
from medsiglip.ingest.pacs.web.stored_header import elements_of

# PS3.18, table 10.5.3-1 and PS3.3, C.18.1: reasons have the values of DIMSE statuses.
PROCESSING_FAILURE, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0110, 0xA700, 0xC000
WARNING = 0xB000
_REFERENCED_SOPS, _FAILED_SOPS, _OTHER_FAILURES = "00081199", "00081198", "0008119A"
_REFERENCED_SOP, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"
_PIECE = 1 << 16
_TOO_LARGE = frozenset({413, 507})


class InstanceBody:
    """The body `multipart/related` of a request that stores one file, read from it as it is sent."""

    def __init__(self, file: Path) -> None:
        self.file = file
        boundary = uuid4().hex
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._size = file.stat().st_size
        self.headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(self._head) + self._size + len(self._tail)),
        }

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the body. Raises OSError where the file has become shorter or cannot be read."""
        yield self._head
        left = self._size
        with self.file.open("rb") as stream:
            while left:
                piece = stream.read(min(_PIECE, left))
                if not piece:
                    raise OSError("the file has become shorter")
                left -= len(piece)
                yield piece
        yield self._tail


def sop_instance_uid_of(file: Path) -> str | None:
    """The SOP Instance UID of a file, None where it cannot be read."""
    try:
        elements = elements_of(file)
    except OSError:
        return None
    value = elements.get("SOPInstanceUID") if elements is not None else None
    return str(value) if value else None


def outcome_of(file: Path, sop: str, status: int, read: Callable[[], Any]) -> StoreOutcome:
    """What became of a file by the answer's HTTP status and its body, which `read` gives in DICOM JSON, None
    where it is in no such form.
    """
    if status in _TOO_LARGE:
        return StoreOutcome(file, sop, OUT_OF_RESOURCES)
    answer = read()
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, dict):
        said = _said(answer, sop)
        if said is not None:
            return StoreOutcome(file, sop, said, may_pass=said >> 8 == OUT_OF_RESOURCES >> 8)
    # PS3.18, table 10.5.3-1: 200 stands for all instances stored, 202 and 409 for some or none.
    if status in (200, 201, 204) and not (isinstance(answer, dict) and _has_failures(answer)):
        return StoreOutcome(file, sop, 0)
    return StoreOutcome(file, sop, PROCESSING_FAILURE, may_pass=status == 202 or status >= 500)


def _said(answer: dict[str, Any], sop: str) -> int | None:
    """The status that an answer gives for an instance, 0 for stored, None where it does not speak of it."""
    for item in _items(answer, _FAILED_SOPS):
        if text_of(item, _REFERENCED_SOP) in (sop, ""):
            return number_of(item, _FAILURE_REASON) or PROCESSING_FAILURE
    for item in _items(answer, _REFERENCED_SOPS):
        if text_of(item, _REFERENCED_SOP) == sop:
            reason = number_of(item, _WARNING_REASON)
            return reason if reason is not None and reason >> 12 == WARNING >> 12 else 0
    return None


def _has_failures(answer: dict[str, Any]) -> bool:
    return bool(_items(answer, _FAILED_SOPS) or _items(answer, _OTHER_FAILURES))


def _items(answer: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [item for item in values_of(answer, tag) if isinstance(item, dict)]
