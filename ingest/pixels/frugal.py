"""pydicom, kept from making more objects of a file than any file of its size holds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from medsiglip.ingest.header.elements import HeaderRefusedError

if TYPE_CHECKING:
    from pydicom import Dataset

# pydicom reads two or three times for an element, and takes up to 15 microseconds and 1 kB for each. Files of
# many small frames are the most finely cut of real ones: one of 32 x 32 pixels takes 3 kB and 120 reads.
FREE_READS = 200_000
BYTES_PER_READ = 16
_ITEMS = (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0")


def read_frugally(file: BinaryIO, size: int, *, stop_before_pixels: bool = False) -> Dataset:
    """`pydicom.dcmread` by force of a file, which stays open; `size` in bytes is what it takes on the disk.

    Raises `HeaderRefusedError` for one that is cut into too many elements, and whatever pydicom raises.
    """
    from pydicom import dcmread

    frugal = _Frugal(cast(io.RawIOBase, file), 1 << 16)
    frugal.left = FREE_READS + size // BYTES_PER_READ
    frugal.counts_items = stop_before_pixels  # the frames of encapsulated pixel data are items too
    try:
        return dcmread(frugal, force=True, stop_before_pixels=stop_before_pixels)
    except Exception:
        if frugal.left < 0:  # pydicom makes other errors of whatever reading raises
            raise HeaderRefusedError("unreadable-header") from None
        raise
    finally:
        frugal.detach()


class _Frugal(io.BufferedReader):
    name = ""  # pydicom asks for it
    left = 0
    counts_items = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= 1
        if self.counts_items and data.startswith(_ITEMS):  # a sequence that pydicom takes apart later
            self.left -= len(data) // BYTES_PER_READ
        if self.left < 0:
            raise HeaderRefusedError("unreadable-header")
        return data
