"""Frames that pydicom's plugins refuse though they are valid, such as 12-bit JPEG: imagecodecs, called
directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

_JPEG = "1.2.840.10008.1.2.4."


def decode_encapsulated(dataset: Dataset, index: int) -> NDArray[Any] | None:
    """Decode one encapsulated frame, [H, W] or [H, W, 3], or None if imagecodecs cannot either."""
    from pydicom.encaps import get_frame

    try:
        codestream = get_frame(
            dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames") or 1)
        )
        array = _decode(codestream, str(dataset.file_meta.TransferSyntaxUID))
    except Exception:  # a codec's own error says no more than that it cannot
        return None
    expected = (int(dataset.Rows), int(dataset.Columns))
    if array is None or array.shape[:2] != expected:
        return None
    if array.dtype.kind == "u" and int(dataset.get("PixelRepresentation") or 0) == 1 and array.ndim == 2:
        return _signed(array, int(dataset.BitsStored))
    return array


def _decode(codestream: bytes, syntax: str) -> NDArray[Any] | None:
    import imagecodecs

    if syntax in {_JPEG + "50", _JPEG + "51"}:
        return np.asarray(imagecodecs.jpeg_decode(codestream))
    if syntax in {_JPEG + "57", _JPEG + "70"}:
        return np.asarray(imagecodecs.ljpeg_decode(codestream))
    if syntax in {_JPEG + "80", _JPEG + "81"}:
        return np.asarray(imagecodecs.jpegls_decode(codestream))
    if syntax in {_JPEG + "90", _JPEG + "91"}:
        return np.asarray(imagecodecs.jpeg2k_decode(codestream))
    return None


def _signed(array: NDArray[Any], bits: int) -> NDArray[np.int32]:
    """Sign-extend values stored in `bits` bits (PS3.5 8.1.1)."""
    values = array.astype(np.int32) & ((1 << bits) - 1)
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values).astype(np.int32)
