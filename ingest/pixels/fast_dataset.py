"""What rendering reads of a DICOM file, as a pydicom data set: the groups that it asks for, and the pixel
data, read from the file once.

It walks as `fast_header` does. Unusual and unreadable files are left to pydicom.
"""

from __future__ import annotations

import struct
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, BinaryIO, cast

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED, IMPLICIT
from medsiglip.ingest.errors import HeaderRefusedError
from medsiglip.ingest.header.fast_header import (
    EXPLICIT,
    ICON_IMAGE_SEQUENCE,
    SHORT_VRS,
    UNDEFINED,
    CutHeaderError,
    HeaderWalk,
    UnusualHeaderError,
)
from medsiglip.ingest.header.header_values import PIXEL_TAGS

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.tag import BaseTag

# Identification, acquisition (spacings), image and pixel description, slides, view codes, presentation LUT
# shape, RT images, functional groups and offset tables (PS3.6).
GROUPS = frozenset({0x0008, 0x0018, 0x0028, 0x0048, 0x0054, 0x2050, 0x3002, 0x5200, 0x7FE0})
# Longer values, perhaps of a wrong length, are left to pydicom.
MAX_READ = 1 << 28
_SHORT = {vr: vr.decode() for vr in SHORT_VRS}


def fast_dataset(file: BinaryIO) -> Dataset | None:
    """Read the elements of `GROUPS` up to the pixel data, or None if the file is not of a common kind.

    Values stay bytes until they are accessed, as with `pydicom.dcmread`. Raises OSError if the file
    cannot be read.
    """
    try:
        return _DatasetWalk(file).dataset()
    except (UnusualHeaderError, CutHeaderError, HeaderRefusedError, EOFError, struct.error):
        return None


def _is_sequence(tag: int) -> bool:
    """Whether an element without a VR is a sequence by the dictionary, or unknown and of a group that is not
    read.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return dictionary_VR(tag) == "SQ" if dictionary_has_tag(tag) else tag >> 16 not in GROUPS


class _DatasetWalk(HeaderWalk):
    def dataset(self) -> Dataset:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import UID

        at = self.meta(132 if self.data[128:132] == b"DICM" else 0)
        if self.transfer_syntax == DEFLATED:
            raise UnusualHeaderError
        at, explicit = self.encoding(at)
        if self.transfer_syntax and explicit == (self.transfer_syntax == IMPLICIT):
            raise UnusualHeaderError
        dataset = Dataset(self._elements(at, explicit=explicit))
        dataset.file_meta = FileMetaDataset()
        if self.transfer_syntax:
            dataset.file_meta.TransferSyntaxUID = UID(self.transfer_syntax)
        dataset.set_original_encoding(not explicit, self.little)
        return dataset

    def _elements(self, at: int, *, explicit: bool) -> MutableMapping[BaseTag, DataElement | RawDataElement]:
        from pydicom.dataelem import RawDataElement, empty_value_for_VR
        from pydicom.tag import BaseTag

        elements: MutableMapping[BaseTag, DataElement | RawDataElement] = {}

        def keep(tag: int, vr: str | None, length: int, value: bytes, place: int) -> None:
            stored = value or cast("bytes | None", empty_value_for_VR(vr, raw=True))
            key = BaseTag(tag)
            elements[key] = RawDataElement(key, vr, length, stored, place, not explicit, self.little)

        unpack, data, last = EXPLICIT[self.little].unpack_from, self.data, 0
        known = len(data) - 8 if explicit else -1
        while True:
            if at < known:
                group, element, vr, length = unpack(data, at)
                tag, end = group << 16 | element, at + 8 + length
                if vr in _SHORT and last < tag and end <= known:
                    if group in GROUPS:
                        keep(tag, _SHORT[vr], length, data[at + 8 : end], self.base + at + 8)
                    last, at = tag, end
                    continue
            at = self.following(at)
            if at < 0:
                return elements
            tag, vr, length, at = self.element(at, explicit=explicit)
            if tag <= last:
                raise UnusualHeaderError
            last, name, place = tag, vr.decode() or None, self.base + at
            if tag in PIXEL_TAGS:
                pixels = self._encapsulated(place) if length == UNDEFINED else self._read(place, length)
                keep(tag, name, length, pixels, place)
                return elements
            if length == UNDEFINED:
                if name not in ("SQ", "UN") and not (name is None and _is_sequence(tag)):
                    raise UnusualHeaderError
                name, at = "SQ", self.past_sequence(at, explicit=explicit)
                length = self.base + at - place
            elif tag == ICON_IMAGE_SEQUENCE:
                at = self.past_icon(at, length, explicit=explicit)
                length = self.base + at - place
            if tag >> 16 in GROUPS:
                keep(tag, name, length, self._read(place, length), place)
            at, data = place + length - self.base, self.data
            known = len(data) - 8 if explicit else -1

    def _read(self, place: int, length: int) -> bytes:
        """`length` bytes from `place` in the file on."""
        at = place - self.base
        if 0 <= at <= len(self.data) - length:
            return self.data[at : at + length]
        if length > MAX_READ:
            raise UnusualHeaderError
        self.file.seek(place)
        value = self.file.read(length)
        if len(value) < length:
            raise CutHeaderError
        self.base, self.data = place + length, b""
        return value

    def _encapsulated(self, place: int) -> bytes:
        """The items of encapsulated pixel data (PS3.5 A.4), without the delimiter behind them."""
        from pydicom.fileutil import read_undefined_length_value
        from pydicom.tag import SequenceDelimiterTag

        self.file.seek(place)
        return read_undefined_length_value(self.file, self.little, SequenceDelimiterTag) or b""
