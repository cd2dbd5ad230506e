"""A deflate stream (RFC 1951, or gzip of RFC 1952) as a seekable file.

Decompression starts at the beginning, but its state can be copied: from such landmarks, a few hundred at most
for a stream of any length, it resumes after a seek backwards. So the cost of any read is bounded.
"""

from __future__ import annotations

import io
import threading
import zlib
from bisect import bisect_right
from typing import Any, BinaryIO

RAW, GZIP = -zlib.MAX_WBITS, zlib.MAX_WBITS | 16
CHUNK = 1 << 16
SPACING = 1 << 20
MAX_LANDMARKS = 256  # of about 40 KiB each


class DamagedStreamError(OSError):
    """Compressed data cannot be unpacked: they end early, or the check sum is wrong."""


class Landmarks:
    """Where decompression can resume; shared by the readers of one stream, from any thread."""

    def __init__(self) -> None:
        self._spacing = SPACING
        self._positions: list[int] = []
        self._states: list[tuple[int, Any]] = []
        self._lock = threading.Lock()

    def note(self, position: int, offset: int, state: Any) -> None:
        """Remember the decompressor that has produced `position` bytes and needs input from `offset` on."""
        with self._lock:
            if position < (self._positions[-1] if self._positions else 0) + self._spacing:
                return
            self._positions.append(position)
            self._states.append((offset, state.copy()))
            if len(self._positions) > MAX_LANDMARKS:
                self._positions, self._states = self._positions[1::2], self._states[1::2]
                self._spacing *= 2

    def before(self, position: int) -> tuple[int, int, Any] | None:
        """Position, offset and a decompressor of the last landmark up to `position`."""
        with self._lock:
            place = bisect_right(self._positions, position) - 1
            if place < 0:
                return None
            offset, state = self._states[place]
            return self._positions[place], offset, state.copy()


class InflatedFile(io.RawIOBase):
    """The content of a deflate stream that starts at `start` of `file`, which is closed with it.

    `wbits` is `RAW` or `GZIP`; the members of a gzip file follow each other as one content. Reading raises
    `DamagedStreamError`.
    """

    name = ""  # pydicom asks for it

    def __init__(self, file: BinaryIO, start: int, wbits: int, landmarks: Landmarks | None = None) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._wbits = wbits
        self._landmarks = landmarks or Landmarks()
        self._position = 0
        self._begin(0, start, zlib.decompressobj(wbits))

    def _begin(self, at: int, offset: int, state: Any) -> None:
        self._at, self._state, self._tail, self._ended = at, state, b"", False
        self._file.seek(offset)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position in the content."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; only a seek from the end unpacks, without keeping the data."""
        if whence == io.SEEK_END:
            self._position = 1 << 62
            self._catch_up()
            self._position = self._at
        self._position = max(offset if whence == io.SEEK_SET else self._position + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes, perhaps only in part; 0 at the end."""
        self._catch_up()
        data = self._produce(len(buffer)) if self._at == self._position else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def release(self) -> None:
        """Close this reader but not the packed file."""
        self._file = io.BytesIO()
        self.close()

    def close(self) -> None:
        """Close the packed file too."""
        self._file.close()
        super().close()

    def _catch_up(self) -> None:
        if self._at != self._position:
            landmark = self._landmarks.before(self._position)
            if landmark is not None and (landmark[0] > self._at or self._position < self._at):
                self._begin(*landmark)
            elif self._position < self._at:
                self._begin(0, self._start, zlib.decompressobj(self._wbits))
        while self._at < self._position and self._produce(min(self._position - self._at, 4 * CHUNK)):
            pass

    def _produce(self, size: int) -> bytes:
        """The next bytes, at most `size`; none only at the end."""
        while not self._ended and size:
            self._tail = self._tail or self._file.read(CHUNK)
            is_last = not self._tail
            try:
                data: bytes = self._state.decompress(self._tail, size)
            except zlib.error:
                raise DamagedStreamError("damaged deflate stream") from None
            self._tail = self._state.unconsumed_tail
            if self._state.eof:
                self._next_member(self._state.unused_data)
            elif is_last and not data:
                raise DamagedStreamError("deflate stream ends early")
            if data:
                self._at += len(data)
                if not self._ended:
                    self._landmarks.note(self._at, self._file.tell() - len(self._tail), self._state)
                return data
        return b""

    def _next_member(self, unused: bytes) -> None:
        if self._wbits == GZIP:
            unused = unused if len(unused) > 1 else unused + self._file.read(CHUNK)
            if unused.startswith(b"\x1f\x8b"):
                self._state, self._tail = zlib.decompressobj(self._wbits), unused
                return
        self._ended = True
