"""Stored pixel values of a DICOM file, frame by frame, and of a plain picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from medsiglip.ingest.errors import DecodeError, decode_error
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.fast_header import UNDEFINED
from medsiglip.ingest.pixels.dataset_file import read_dataset
from medsiglip.ingest.pixels.decoders import DECODERS, is_installed
from medsiglip.ingest.pixels.fragments import encapsulated_frames
from medsiglip.ingest.pixels.image_pixel import PIXEL_KEYWORDS, ImagePixel, image_pixel
from medsiglip.ingest.pixels.native import byte_swapped, check_length, native_frame
from medsiglip.ingest.pixels.pixel_hash import PixelHash, hash_pixels

if TYPE_CHECKING:
    from pydicom import Dataset

    from medsiglip.decoded_picture import Picture

Stored = NDArray[Any]

_PICTURE_CODES = {
    "picture-forbidden": "permission-denied",
    "picture-too-large": "picture-too-large",
    "picture-unreadable": "undecodable-picture",
}


def open_dataset(path: str) -> Dataset:
    """Read a DICOM file with its pixel data. Raises `DecodeError` if it cannot be read or its pixel data are
    incomplete.
    """
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        with open_source(path) as file:
            dataset = read_dataset(file)
    except DecodeError:
        raise
    except PermissionError:
        raise decode_error("permission-denied") from None
    except OSError as error:
        raise decode_error("unreadable-file" if error.errno else "truncated") from None
    except Exception:
        raise decode_error("unreadable-header") from None
    if not any(keyword in dataset and _is_whole(dataset, keyword) for keyword in PIXEL_KEYWORDS):
        raise decode_error("truncated")
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _is_whole(dataset: Dataset, keyword: str) -> bool:
    """Whether an element has as many bytes as its length says; pydicom accepts fewer at the end of a file."""
    element = dataset.get_item(keyword, keep_deferred=True)
    length, value = getattr(element, "length", None), getattr(element, "value", None)
    return length in (None, UNDEFINED) or value is None or len(value) >= length


def pixel_hash(dataset: Dataset, *, older: bool = False) -> PixelHash:
    """The hash of the value of the pixel data element as stored; `older` asks for that of earlier versions
    too.

    Raises `DecodeError`: `truncated` without one, `unreadable-header` if it is written as a sequence.
    """
    for keyword in PIXEL_KEYWORDS:
        if keyword in dataset:
            return hash_pixels(_stored_bytes(dataset, keyword), older=older)
    raise decode_error("truncated")


def _stored_bytes(dataset: Dataset, keyword: str) -> bytes:
    """The value of a pixel data element, whatever VR it is written with."""
    value = getattr(dataset.get_item(keyword, keep_deferred=True), "value", None)
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise decode_error("unreadable-header")
    return value


def frames(dataset: Dataset, indices: Sequence[int]) -> Iterator[Stored]:
    """Yield the frames `indices`, each [H, W] stored values or [H, W, 3] RGB, YBR being converted (PS3.3
    C.7.6.3.1.2). An array may be read-only.

    Offsets are looked up once, so that the cost of a frame does not grow with their number. Raises
    `DecodeError`: `no-decoder`, `truncated`, `inconsistent-pixels`, `undecodable-pixels`,
    `picture-too-large`.
    """
    image = image_pixel(dataset)
    syntax = TRANSFER_SYNTAXES.get(str(dataset.file_meta.TransferSyntaxUID))
    if syntax is None:
        raise decode_error("no-decoder")
    value = _stored_bytes(dataset, image.keyword)
    if syntax.encapsulated:
        decoders = [name for name in syntax.decoders if is_installed(name, syntax.uid)]
        if not decoders:
            raise decode_error("no-decoder")
        found = encapsulated_frames(value, image.number_of_frames, _extended_offsets(dataset))
        single = replace(image, number_of_frames=1)
        for index in indices:
            yield _decode(found.codestream(index), single, syntax.uid, decoders)
        return
    if syntax.big_endian and image.bits_allocated <= 8 and dataset[image.keyword].VR == "OW":
        value = byte_swapped(value)
    check_length(value, image)
    for index in indices:
        yield native_frame(value, image, index, big_endian=syntax.big_endian)


def codestreams(dataset: Dataset, indices: Sequence[int]) -> Iterator[bytes]:
    """Yield the frames `indices` of encapsulated pixel data as they are stored (PS3.5 A.4). Raises
    `DecodeError` as `frames` does.
    """
    image = image_pixel(dataset)
    value = _stored_bytes(dataset, image.keyword)
    found = encapsulated_frames(value, image.number_of_frames, _extended_offsets(dataset))
    for index in indices:
        yield found.codestream(index)


def _extended_offsets(dataset: Dataset) -> Sequence[int]:
    """Extended Offset Table (7FE0,0001): 64 bits for each frame, none if it is absent (PS3.3 C.7.6.3.1.8)."""
    table = dataset.get("ExtendedOffsetTable")
    if not isinstance(table, bytes):
        return ()
    return struct.unpack(f"<{len(table) // 8}Q", table[: len(table) // 8 * 8])


def _decode(codestream: bytes, image: ImagePixel, syntax: str, decoders: Sequence[str]) -> Stored:
    for name in decoders:
        try:
            return _checked(DECODERS[name](codestream, image, syntax), image)
        except MemoryError:
            raise decode_error("picture-too-large") from None
        except DecodeError:
            raise
        except NotImplementedError:  # a kind of frame that this decoder does not support
            continue
        except Exception:  # of any kind; for a damaged frame some other decoders would end the process
            break
    raise decode_error("undecodable-pixels")


def _checked(array: Stored, image: ImagePixel) -> Stored:
    samples = (3,) if image.samples_per_pixel == 3 else ()
    if image.tiled and array.shape[2:] == samples:
        below, right = image.rows - array.shape[0], image.columns - array.shape[1]
        if below or right:
            array = np.pad(array, ((0, below), (0, right), *((0, 0) for _ in samples)), mode="edge")
    if array.shape != (image.rows, image.columns, *samples):
        raise decode_error("inconsistent-pixels")
    return array


def decode_picture(path: str) -> Picture:
    """The first page of a PNG, JPEG, TIFF or BMP as display values.

    Raises `DecodeError`: `permission-denied`, `picture-too-large`, `undecodable-picture`.
    """
    from medsiglip.pictures import PictureError, open_picture

    try:
        with open_source(path) as file:
            return open_picture(file)
    except PermissionError:
        raise decode_error("permission-denied") from None
    except OSError:
        raise decode_error("undecodable-picture") from None
    except PictureError as error:
        raise decode_error(_PICTURE_CODES[error.code]) from None
