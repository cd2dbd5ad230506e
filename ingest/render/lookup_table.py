"""Lookup tables of data sets: modality, VOI and palette, whole or in segments.

PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_ENTRIES = 1 << 16
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A modality or VOI LUT: `values[i]` is the output for input `first + i`.

    Inputs below `first` take the first value, inputs above the table the last. `bits` is the nominal depth.
    """

    first: int
    values: NDArray[np.float64]
    bits: int

    def look_up(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Outputs of the shape of `inputs`, which are rounded to whole values; NaN takes the first value."""
        index = np.rint(np.asarray(inputs, np.float64)) - self.first
        index = np.clip(np.nan_to_num(index, nan=0.0), 0, len(self.values) - 1)
        looked_up: NDArray[np.float64] = np.take(self.values, index.astype(np.intp))
        return looked_up


def read_lookup_table(item: Dataset, *, negative_inputs: bool) -> LookupTable | None:
    """The table of an item of a Modality or VOI LUT Sequence, None if it is not valid.

    `negative_inputs` means that inputs may be below zero: then a first mapped value above 32767 is a
    negative one that was written or read as unsigned (PS3.3 C.11.2.1.1).
    """
    stated = _descriptor(item.get("LUTDescriptor"))
    data = item.get("LUTData")
    if stated is None or data is None:
        return None
    count, first, bits = stated
    values = _words(data, count, bits, little_endian=_is_little_endian(item))
    if not values.size:
        return None
    if negative_inputs and first > 32767:
        first -= 65536
    return LookupTable(first, values[:count].astype(np.float64), bits)


def read_palette(dataset: Dataset) -> tuple[NDArray[np.uint8], int] | None:
    """Colours uint8 [n, 3] and the stored value of the first one, None if the data set holds no palette.

    Raises ValueError if it holds one that cannot be read. Values that use 16 bits keep their upper 8;
    colours of 8 bits in words of 16 (a common mistake, PS3.3 C.7.6.3.1.6) are used unchanged.
    """
    stated = _descriptor(dataset.get("RedPaletteColorLookupTableDescriptor"))
    if stated is None:
        return None
    count, first, bits = stated
    channels = [_channel(dataset, colour, count, bits) for colour in ("Red", "Green", "Blue")]
    if first > 32767 and dataset.get("PixelRepresentation") == 1:
        first -= 65536
    entries = max(len(channel) for channel in channels)
    colours = np.stack([np.pad(c, (0, entries - len(c)), mode="edge") for c in channels], axis=1)
    eight = colours >> 8 if int(colours.max()) > 255 else colours
    return eight.astype(np.uint8), first


def expand_segments(words: NDArray[np.uint16], count: int, bytes_per_word: int) -> NDArray[np.uint16]:
    """At most `count` entries of segmented palette data (PS3.3 C.7.9.2).

    Raises ValueError for an unknown segment, one that reaches beyond the data, a first segment that
    has nothing to continue, and indirect segments within indirect ones, which the standard forbids.
    """
    entries: list[int] = []
    _expand([int(word) for word in words], 0, None, count, bytes_per_word, entries)
    return np.array(entries[:count], dtype=np.uint16)


def _expand(
    words: list[int], at: int, segments: int | None, count: int, bytes_per_word: int, entries: list[int]
) -> None:
    nested = segments is not None
    # A single word at the end is padding to an even length.
    while at + 1 < len(words) and len(entries) < count and segments != 0:
        kind, length = words[at], words[at + 1]
        at += 2
        segments = None if segments is None else segments - 1
        if kind == _DISCRETE and at + length <= len(words):
            entries += words[at : at + length]
            at += length
        elif kind == _LINEAR and entries and at < len(words):
            start, end = entries[-1], words[at]
            entries += [round(start + (end - start) * (step + 1) / length) for step in range(length)]
            at += 1
        elif kind == _INDIRECT and entries and not nested and at + 4 // bytes_per_word <= len(words):
            parts = words[at : at + 4 // bytes_per_word]
            offset = sum(part << (8 * bytes_per_word * i) for i, part in enumerate(parts))
            _expand(words, offset // bytes_per_word, length, count, bytes_per_word, entries)
            at += len(parts)
        else:
            raise ValueError("a segment of the palette cannot be read")


def _channel(dataset: Dataset, colour: str, count: int, bits: int) -> NDArray[np.uint16]:
    little_endian = _is_little_endian(dataset)
    data = dataset.get(f"{colour}PaletteColorLookupTableData")
    if data is not None:
        entries = _words(data, count, bits, little_endian=little_endian)[:count]
    else:
        data = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
        if not isinstance(data, bytes):
            raise ValueError("the palette has no data")
        width = 1 if bits <= 8 else 2
        words = np.frombuffer(data[: len(data) // width * width], f"{'<' if little_endian else '>'}u{width}")
        entries = expand_segments(words.astype(np.uint16), count, width)
    if not entries.size:
        raise ValueError("the palette is empty")
    return entries


def _descriptor(value: Any) -> tuple[int, int, int] | None:
    """Number of entries, first mapped value, bits; a count of 0 stands for 65,536 entries."""
    try:
        count, first, bits = (int(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return (count & 0xFFFF) or MAX_ENTRIES, first, min(max(bits, 1), 16)


def _words(data: Any, count: int, bits: int, *, little_endian: bool) -> NDArray[np.uint16]:
    """Entries of whole table data: one in each word, or two, the first in the lower byte.

    The length says which, whatever the descriptor says: writers state 16 bits for entries of one byte.
    """
    if isinstance(data, bytes):
        whole = data + b"\0" * (len(data) % 2)
        words = np.frombuffer(whole, "<u2" if little_endian else ">u2").astype(np.uint16)
    else:
        words = (np.atleast_1d(np.asarray(data, dtype=np.int64)).ravel() & 0xFFFF).astype(np.uint16)
    bytewise = words.size <= (count + 1) // 2 if bits <= 8 else words.size == (count + 1) // 2
    if bytewise and count > 1:
        return np.stack([words & 0xFF, words >> 8], axis=1).ravel()
    return words


def _is_little_endian(dataset: Dataset) -> bool:
    return bool(dataset.original_encoding[1] is not False)
