"""Instances in the parts of a body `multipart/related` (RFC 2387), written to files as they come."""

from __future__ import annotations

from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from medsiglip.ingest.pacs.arriving_file import ArrivingFile

LARGEST_INSTANCE = 1 << 35
MOST_PARTS = 200_000
_LONGEST_PREAMBLE = 1 << 16
_FIRST_GROUPS = (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08")
PREFIX_BYTES = 132  # PS3.10, section 7.1: a preamble of 128 bytes, and the prefix


class UnreadablePartsError(Exception):
    """The body is not what its type says; the words say how."""


class InstancePart:
    """A body, or a part of one, that is written to a file of `folder` if it is a DICOM file (PS3.10)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start = bytearray()
        self._file: ArrivingFile | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Add its next bytes. Raises `UnreadablePartsError` where it is too large."""
        if self._file is None:
            if len(self._start) >= PREFIX_BYTES:  # no DICOM file: the rest of it is passed over
                return
            self._start += data
            if len(self._start) < PREFIX_BYTES:
                return
            if not is_dicom_file(self._start):
                del self._start[PREFIX_BYTES:]
                return
            self._file = ArrivingFile(self._folder)
            data = bytes(self._start)
        if self._file.size + len(data) > LARGEST_INSTANCE:
            raise UnreadablePartsError(f"an instance has more than {LARGEST_INSTANCE >> 30} GiB")
        self._file.write(data)

    def end(self) -> Path | None:
        """All of it has come: its file, None where it is no DICOM file."""
        return self._file.keep() if self._file is not None else None

    def discard(self) -> None:
        """Remove what was written of it."""
        if self._file is not None:
            self._file.discard()


class RelatedParts:
    """Takes a body piece by piece; each part that is a DICOM file becomes a file of `folder`.

    A part counts when the boundary after it has come: what is cut leaves no file. Parts that are no DICOM
    files are left out.
    """

    def __init__(self, boundary: bytes, folder: Path) -> None:
        self.has_ended = False
        self._folder = folder
        self._boundary = boundary
        self._before: bytearray | None = bytearray()
        self._complete: list[Path] = []
        self._count = 0
        self._part: InstancePart | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def feed(self, piece: bytes) -> list[Path]:
        """Parse the next bytes; the files that are complete with them. Raises `UnreadablePartsError`, and
        OSError where a file cannot be written.
        """
        try:
            if self._before is not None:
                piece = self._after_preamble(piece)
            if piece:
                self._parser.write(piece)
        except MultipartParseError:
            raise UnreadablePartsError("its parts cannot be told apart") from None
        complete, self._complete = self._complete, []
        return complete

    def close(self) -> None:
        """Remove what has not become complete."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _after_preamble(self, piece: bytes) -> bytes:
        """RFC 2046, 5.1.1: what comes before the first boundary is to be ignored."""
        assert self._before is not None
        self._before += piece
        place = self._before.find(b"--" + self._boundary)
        if place >= 0:
            found = bytes(self._before[place:])
            self._before = None
            return found
        if len(self._before) > _LONGEST_PREAMBLE:
            raise UnreadablePartsError("its parts do not begin")
        return b""

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise UnreadablePartsError(f"it has more than {MOST_PARTS} parts")
        self._part = InstancePart(self._folder)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part.write(memoryview(data)[start:end])

    def _end(self) -> None:
        file = self._part.end() if self._part is not None else None
        self._part = None
        if file is not None:
            self._complete.append(file)

    def _finish(self) -> None:
        self.has_ended = True


def is_dicom_file(start: bytes | bytearray) -> bool:
    """Whether what begins so is a DICOM file; an archive that took one without preamble gives it as it is,
    and that begins with group 0002 or 0008 in either byte order.
    """
    return start[PREFIX_BYTES - 4 : PREFIX_BYTES] == b"DICM" or start[:2] in _FIRST_GROUPS
