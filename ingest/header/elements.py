"""Reading the elements of a DICOM header: by the fast reader in common cases, else by pydicom."""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED
from medsiglip.ingest.errors import HeaderRefusedError
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.fast_header import UNDEFINED, fast_elements
from medsiglip.ingest.header.header_values import (
    COMPLETE,
    CUT,
    GARBLED,
    LAST_GROUP,
    MAX_VALUE,
    PIXEL_TAGS,
    PIXELS,
    TRAILING_PADDING,
    HeaderElements,
    values_of,
    wanted_elements,
)

if TYPE_CHECKING:
    from pydicom import Dataset

# Bytes that pydicom may read of an unusual header; it takes many times as much memory.
MAX_UNUSUAL = 1 << 22


def read_elements(path: str) -> HeaderElements:
    """Read a header by the fast reader where it can, else by pydicom; both give equal values.

    Raises OSError if the file cannot be read, `HeaderRefusedError`, and whatever pydicom raises for a header
    that it cannot parse.
    """
    with open_source(path, buffering=0) as raw:
        found = fast_elements(raw)
        if found is not None and (found.ending != CUT or found.values.get("TransferSyntaxUID") == DEFLATED):
            return found
        try:
            slow = pydicom_elements(raw)
        except Exception:
            if found is None:
                raise
            return found
        # pydicom takes the end of a file for the end of the data set, wherever it is.
        return slow if found is None or slow.ending == PIXELS else HeaderElements(slow.values, CUT)


class _Metered(io.BufferedReader):
    """Stops reading a header that is too long."""

    name = ""  # pydicom would reopen the file by it
    _left = MAX_UNUSUAL

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # only a deflated data set is read as a whole
            raise HeaderRefusedError("unreadable-header")
        self._left -= size
        if self._left < 0:
            raise HeaderRefusedError("unreadable-header")
        return super().read(size)


def pydicom_elements(file: BinaryIO) -> HeaderElements:
    """Read a header that is not deflated by pydicom, with or without a preamble.

    Raises `HeaderRefusedError`, and whatever pydicom raises.
    """
    from pydicom import dcmread

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    metered = _Metered(cast(io.RawIOBase, file), 1 << 15)
    try:
        dataset = dcmread(metered, force=True, stop_before_pixels=True, defer_size=MAX_VALUE)
        return HeaderElements(_values(dataset), _ending(dataset, metered, size))
    except RecursionError:
        raise HeaderRefusedError("nested-too-deep") from None
    finally:
        metered.detach()


def _values(dataset: Dataset) -> dict[str, str | int]:
    from pydicom.dataelem import RawDataElement

    raw: dict[int, bytes] = {}
    other_vrs: dict[int, bytes] = {}
    little = dataset.original_encoding[1] is not False
    # Raw elements: access by tag would read those that were skipped for their length.
    elements = {int(tag): element for part in (dataset.file_meta, dataset) for tag, element in part.items()}
    for tag, vr in wanted_elements()[1].items():
        element: Any = elements.get(tag)
        if element is None:
            continue
        if not isinstance(element, RawDataElement):  # pydicom converted it itself
            text = (
                element.value if isinstance(element.value, str) else "\\".join(map(str, element.value or ()))
            )
            raw[tag] = text.encode("latin-1", "replace")
            continue
        raw[tag] = element.value or b""
        own = (element.VR or "").encode()
        if own not in (b"", b"UN", vr):
            other_vrs[tag] = own
    return values_of(raw, other_vrs, little=little)


def _ending(dataset: Dataset, file: BinaryIO, size: int) -> str:
    from pydicom.dataelem import RawDataElement

    following = file.read(4)
    if len(following) == 4:
        group, element = struct.unpack(
            "<HH" if dataset.original_encoding[1] is not False else ">HH", following
        )
        if (group << 16) + element in PIXEL_TAGS:
            return PIXELS
    if not len(dataset) or any(tag.group > LAST_GROUP and tag != TRAILING_PADDING for tag in dataset.keys()):  # noqa: SIM118
        return GARBLED
    last = dict(dataset.items())[max(dataset.keys())]
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED:
        return COMPLETE
    return CUT if last.value_tell + last.length > size else COMPLETE
