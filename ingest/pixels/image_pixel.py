"""The Image Pixel module (PS3.3 C.7.6.3): how pixel data are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.ingest.dicom.element_value import value_of
from medsiglip.ingest.errors import decode_error

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
MAX_FRAME_BYTES = 1 << 31


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """How the frames of one data set are stored; `keyword` names the element that holds them.

    `tiled` means that they are tiles of a slide: writers crop the last ones of a row or column to the slide.
    """

    keyword: str
    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar_configuration: int
    photometric_interpretation: str
    number_of_frames: int
    tiled: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little endian, or of one byte, for one stored value."""
        if self.keyword != "PixelData":
            return np.dtype(f"<f{self.bits_allocated // 8}")
        size = next(size for size in (1, 2, 4, 8) if 8 * size >= self.bits_allocated)
        return np.dtype(f"<{'i' if self.signed else 'u'}{size}")

    @property
    def samples(self) -> int:
        """Values of one frame."""
        return self.rows * self.columns * self.samples_per_pixel

    @property
    def is_ybr(self) -> bool:
        """Whether values are luminance and chrominance (PS3.3 C.7.6.3.1.2).

        YBR_ICT and YBR_RCT name a step within JPEG 2000, which decoders undo if the codestream states it;
        elsewhere they remain from before the values were decoded.
        """
        return self.photometric_interpretation.startswith(("YBR_FULL", "YBR_PARTIAL"))


def image_pixel(dataset: Dataset) -> ImagePixel:
    """Read the attributes of a data set, with defaults for those that may be missing.

    An impossible High Bit (0028,0102) is taken as Bits Stored - 1. Raises `DecodeError`:
    `inconsistent-pixels` if they contradict each other, `truncated` without a pixel data element.
    """
    keyword = next((keyword for keyword in PIXEL_KEYWORDS if keyword in dataset), None)
    if keyword is None:
        raise decode_error("truncated")
    try:
        rows, columns, allocated = (
            int(value_of(dataset, name)) for name in ("Rows", "Columns", "BitsAllocated")
        )
        samples = int(value_of(dataset, "SamplesPerPixel") or 1)
        stored = int(value_of(dataset, "BitsStored") or allocated)
        high_bit = value_of(dataset, "HighBit")
        high_bit = stored - 1 if high_bit is None else int(high_bit)
        signed = int(value_of(dataset, "PixelRepresentation") or 0) == 1
        planar = int(value_of(dataset, "PlanarConfiguration") or 0)
        count = int(value_of(dataset, "NumberOfFrames") or 1)
        photometric = str(value_of(dataset, "PhotometricInterpretation") or "").strip().upper()
    except Exception:  # whatever pydicom raises for an element that is not a number
        raise decode_error("inconsistent-pixels") from None
    if not stored - 1 <= high_bit < allocated:
        high_bit = stored - 1
    if keyword != "PixelData":
        allocated = stored = 32 if keyword == "FloatPixelData" else 64
    image = ImagePixel(
        keyword,
        rows,
        columns,
        samples,
        allocated,
        stored,
        high_bit,
        signed,
        planar,
        photometric,
        number_of_frames=max(count, 1),
        tiled="TotalPixelMatrixColumns" in dataset,
    )
    _check(image)
    return image


def _check(image: ImagePixel) -> None:
    allocated = image.bits_allocated
    possible = (
        image.rows > 0
        and image.columns > 0
        and image.samples_per_pixel in (1, 3)
        # PS3.5 8.1.1: 1 or a multiple of 8; files of before 2004 pack other numbers of bits.
        and (1 <= allocated <= 16 or allocated in (32, 64))
        and 1 <= image.bits_stored <= allocated
        and image.samples * allocated // 8 <= MAX_FRAME_BYTES
    )
    if not possible or (image.photometric_interpretation.startswith("YBR") and image.samples_per_pixel == 1):
        raise decode_error("inconsistent-pixels")
