"""Stored pixel values of a DICOM file, frame by frame, and of a plain picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingest._native import native_frame
from ingest.errors import DecodeError
from ingest.reasons import REASONS

if TYPE_CHECKING:
    from pydicom import Dataset

Stored = NDArray[Any]

_JPEG = "1.2.840.10008.1.2.4."
# pydicom's plugins by transfer syntax, in order of preference. RLE: pylibjpeg's is compiled, pydicom's own
# is Python and dozens of times slower. JPEG-LS: CharLS directly, gdcm wraps an older one. JPEG 2000:
# OpenJPEG through pylibjpeg honours signed and odd precisions that gdcm refuses. JPEG: gdcm alone is
# installed.
DECODERS: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2.5": ("pylibjpeg", "gdcm", "pydicom"),
    _JPEG + "50": ("gdcm",),
    _JPEG + "51": ("gdcm",),
    _JPEG + "57": ("gdcm",),
    _JPEG + "70": ("gdcm",),
    _JPEG + "80": ("pyjpegls", "gdcm"),
    _JPEG + "81": ("pyjpegls", "gdcm"),
    _JPEG + "90": ("pylibjpeg", "gdcm"),
    _JPEG + "91": ("pylibjpeg", "gdcm"),
    _JPEG + "201": ("pylibjpeg",),
    _JPEG + "202": ("pylibjpeg",),
    _JPEG + "203": ("pylibjpeg",),
}
# Decoders that run arbitrary bytes through C code; the others cannot take the process down.
COMPILED = frozenset(uid for uid in DECODERS if uid.startswith(_JPEG))
MAX_FRAME_BYTES = 1 << 31
_PICTURE_CODES = {
    "picture-forbidden": "permission-denied",
    "picture-too-large": "picture-too-large",
    "picture-unreadable": "undecodable-picture",
}


def decode_error(code: str) -> DecodeError:
    """The error of a code of `ingest.reasons`."""
    return DecodeError(code, f"The file {REASONS[code][1]}.")


def open_dataset(path: str) -> Dataset:
    """Read a DICOM file with its pixel data. Raises `DecodeError` if it cannot be read or its pixel data are
    lost.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        dataset = dcmread(path, force=True)
    except PermissionError:
        raise decode_error("permission-denied") from None
    except OSError as error:
        raise decode_error("unreadable-file" if error.errno else "truncated") from None
    except Exception:
        raise decode_error("unreadable-header") from None
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise decode_error("truncated")
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def pixel_hash(dataset: Dataset) -> str:
    """SHA-256 of the value of the pixel data element as stored, its first 128 bits in hex."""
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            return hashlib.sha256(dataset[keyword].value or b"").hexdigest()[:32]
    raise decode_error("truncated")


def frames(dataset: Dataset, indices: Sequence[int]) -> Iterator[Stored]:
    """Yield the frames `indices`, each [H, W] stored values or [H, W, 3] RGB, YBR being converted (PS3.3
    C.7.6.3.1.2).

    Raises `DecodeError`: `no-decoder`, `truncated`, `inconsistent-pixels`, `undecodable-pixels`.
    """
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    _check_size(dataset)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise decode_error("no-decoder") from None
    plugins = [name for name in DECODERS.get(str(syntax), ()) if name in decoder.available_plugins]
    if str(syntax) in DECODERS and not plugins:
        raise decode_error("no-decoder")
    for index in indices:
        native = None if plugins else _native_or_none(dataset, index)
        if native is not None:
            yield native
            continue
        yield _checked(_decode_frame(dataset, decoder, index, plugins))


def _native_or_none(dataset: Dataset, index: int) -> Stored | None:
    try:
        return native_frame(dataset, index)
    except (AttributeError, TypeError, ValueError):  # malformed attributes: pydicom's decoder judges them
        return None


def _check_size(dataset: Dataset) -> None:
    try:
        counts = [int(dataset[keyword].value) for keyword in ("Rows", "Columns", "BitsAllocated")]
        samples = int(dataset.get("SamplesPerPixel") or 1)
    except Exception:
        raise decode_error("inconsistent-pixels") from None
    rows, columns, bits = counts
    if not rows or not columns or rows * columns * samples * bits // 8 > MAX_FRAME_BYTES:
        raise decode_error("inconsistent-pixels")


def _decode_frame(dataset: Dataset, decoder: Any, index: int, plugins: Sequence[str]) -> Stored:
    failure: DecodeError | None = None
    for plugin in plugins or [""]:
        try:
            array, _ = decoder.as_array(dataset, index=index, decoding_plugin=plugin, as_rgb=True)
            return np.asarray(array)
        except MemoryError:
            raise decode_error("picture-too-large") from None
        except (AttributeError, TypeError, KeyError):
            failure = decode_error("inconsistent-pixels")
        except ValueError as error:
            short = "less" in str(error) or "insufficient" in str(error).lower()
            failure = decode_error("truncated" if short and not plugins else "inconsistent-pixels")
        except Exception:  # decoders raise whatever they like
            failure = decode_error("undecodable-pixels")
    if plugins:
        from ingest._imagecodecs import decode_encapsulated

        array = decode_encapsulated(dataset, index)
        if array is not None:
            return array
    raise failure or decode_error("undecodable-pixels")


def _checked(array: Stored) -> Stored:
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3):
        return array
    if array.ndim == 3 and array.shape[2] == 4:
        return array[..., :3]
    raise decode_error("inconsistent-pixels")


def decode_picture(path: str) -> NDArray[np.uint8]:
    """The first page of a PNG, JPEG, TIFF or BMP as it should be seen: uint8 [H, W] or [H, W, 3].

    Raises `DecodeError`: `permission-denied`, `picture-too-large`, `undecodable-picture`.
    """
    from medsiglip.pictures import PictureError, read_picture

    try:
        return read_picture(path)
    except PictureError as error:
        raise decode_error(_PICTURE_CODES[error.code]) from None
