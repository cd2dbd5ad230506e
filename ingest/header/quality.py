"""The quality of an image, from its header and its display values: `--where quality.<name>`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.header.burned_in import burned_in
from medsiglip.ingest.header.pixel_spacing import SPACINGS, aspect_of_pair
from medsiglip.ingest.header.slice_place import image_kind
from medsiglip.ingest.header.view import view

if TYPE_CHECKING:
    from medsiglip.ingest.header.metadata import PictureMetadata

Quality = dict[str, float | str | bool]

QUALITY: dict[str, str] = {
    "lossy": "1 if the pixels were ever compressed with loss, or nothing rules it out; else 0",
    "lossy_ratio": "size before lossy compression / after; 1 without loss; absent where unknown",
    "bits_stored": "bits of a stored value, for each sample",
    "burned_in": "whether the pixels may name or show the patient: yes, likely or no",
    "localizer": "1 if the image is a localizer, else 0",
    "projection": "1 if the image is a projection through a volume, else 0",
    "reformatted": "1 if the image was reformatted from a volume, else 0",
    "view": "frontal, lateral, oblique, other or unknown, as the header says of a projection",
    "pixel_aspect": "height of a stored pixel / its width, in the patient; 1 where unknown",
    "aspect": "width of the picture, which is drawn with square pixels, / its height",
    "window_warning": "1 if the stored window or lookup table could not be used as it is; else 0",
    "blank": "1 if all display values are the same, else 0",
    "near_blank": "1 if 99.5 % of the display values lie within 8 of 255 levels, else 0",
    "black": "share of pixels at display value 0, 0 to 1",
    "white": "share of pixels at display value 255, 0 to 1",
    "contrast": "standard deviation of the display values / 127.5, 0 to 1",
    "sharpness": "standard deviation of the Laplacian of the middle pixels / 127.5",
    "split": "the column `split` of a metadata CSV; absent where there is none",
    "site": "the column `site` of a metadata CSV, or a keyed hash of Institution Name; absent without",
}
"""Every name under `quality`, with its meaning and unit."""

ELEMENTS = (
    "RecognizableVisualFeatures",
    "ConversionType",
    "LossyImageCompressionRatio",
    *SPACINGS,
)
"""Header elements that are read only for the quality of an image."""

_SAMPLES = 192
_NARROW = 8
_NARROW_SHARE = 0.995
_JPEG = "1.2.840.10008.1.2.4."
# PS3.5 8.2 and 10: syntaxes with loss always, and those that may be either.
_LOSSY = frozenset(
    _JPEG + n for n in ("50", "51", "52", "53", "54", "55", "56", "59", "60", "61", "62", "63", "64")
)
_LOSSY_VIDEO = frozenset(_JPEG + str(n) for n in range(100, 109))
_EITHER = frozenset(_JPEG + n for n in ("81", "91", "93", "112", "203"))
_WINDOW_WARNINGS = ("window-", "voi-", "lut-")

_KINDS = ("localizer", "projection", "reformatted")


def header_quality(elements: Elements, modality: str, size: int) -> Quality:
    """Quality by the elements of a DICOM file of `size` bytes; every name is always present, for filters."""
    kind = image_kind(str(elements.get("ImageType", "")), str(elements.get("SOPClassUID", "")))
    syntax = str(elements.get("TransferSyntaxUID", ""))
    bits = str(elements.get("BitsStored", ""))
    return {
        "bits_stored": float(bits) if bits.isdecimal() else 0.0,
        "burned_in": burned_in(elements),
        "view": view(elements, modality),
        "pixel_aspect": pixel_aspect(elements),
        **lossy_quality(elements, syntax, size),
        **{name: int(kind == name) for name in _KINDS},
    }


def picture_quality(bits: int, metadata: PictureMetadata, lossy_ratio: float | None = None) -> Quality:
    """Quality by the file of a picture and its row of the CSV; `bits` are those of a sample, `lossy_ratio` is
    the size of its pixels / the size of the file, None for lossless compression.
    """
    elements = {"Modality": metadata.modality or "", "ViewPosition": metadata.view or ""}
    return {
        "bits_stored": float(bits),
        "burned_in": burned_in(elements),
        "view": view(elements, metadata.modality or "OT"),
        "pixel_aspect": 1.0,
        "lossy": int(lossy_ratio is not None),
        "lossy_ratio": 1.0 if lossy_ratio is None else round(max(lossy_ratio, 1.0), 2),
        **dict.fromkeys(_KINDS, 0),
        **({"split": metadata.split} if metadata.split else {}),
        **({"site": metadata.site} if metadata.site else {}),
    }


def lossy_quality(elements: Elements, transfer_syntax_uid: str, size: int) -> Quality:
    """`lossy` and `lossy_ratio` by Lossy Image Compression (PS3.3 C.7.6.1.1.5), which counts for good, and by
    the transfer syntax.

    `size` is that of the file in bytes, from which the ratio is computed if none is stated. Ratios of
    successive steps multiply.
    """
    stated = str(elements.get("LossyImageCompression", "")).strip()
    compressed = transfer_syntax_uid in _LOSSY | _LOSSY_VIDEO
    either = transfer_syntax_uid in _EITHER and stated != "00"
    if stated != "01" and not compressed and not either:
        return {"lossy": 0, "lossy_ratio": 1.0}
    ratios = [r for r in _numbers(elements, "LossyImageCompressionRatio") if 1.0 <= r < 1e6]
    if ratios:
        return {"lossy": 1, "lossy_ratio": round(math.prod(ratios), 2)}
    if not (compressed or either) or not size:
        return {"lossy": 1}
    return {"lossy": 1, "lossy_ratio": round(max(_uncompressed_size(elements) / size, 1.0), 2)}


def _uncompressed_size(elements: Elements) -> float:
    photometric = str(elements.get("PhotometricInterpretation", ""))
    samples = 3 if photometric.startswith(("RGB", "YBR")) else 1
    size = float(samples * (2 if (_numbers(elements, "BitsStored") or [8.0])[0] > 8 else 1))
    for keyword in ("Rows", "Columns", "NumberOfFrames"):
        size *= (_numbers(elements, keyword) or [1.0])[0]
    return size


def pixel_aspect(elements: Elements) -> float:
    """Height of a pixel ÷ its width, by the first of `SPACINGS` that can be used; 1 if none is present."""
    aspects = (aspect_of_pair(_numbers(elements, keyword)) for keyword in SPACINGS)
    return next((round(aspect, 4) for aspect in aspects if aspect is not None), 1.0)


def measure(values: NDArray[np.uint8]) -> Quality:
    """Measures of display values uint8 [H, W] or [H, W, 3], as `QUALITY` says; colours count by their luma.

    Shares and contrast are of at most about 192 x 192 pixels, spread evenly; `blank` is of all.
    """
    height, width = values.shape[:2]
    rows, columns = -(-height // _SAMPLES), -(-width // _SAMPLES)
    thinned = values[::rows, ::columns]
    sample = _luma(thinned)
    counts = np.bincount(sample.ravel(), minlength=256)
    shares = counts / counts.sum()
    levels = np.arange(256)
    mean = float(shares @ levels)
    windows = np.convolve(shares, np.ones(_NARROW), "valid")
    top, left = max(height - _SAMPLES, 0) // 2, max(width - _SAMPLES, 0) // 2
    return {
        "blank": int(_is_flat(thinned) and _is_flat(values)),
        "near_blank": int(float(windows.max()) >= _NARROW_SHARE),
        "black": round(float(shares[0]), 4),
        "white": round(float(shares[255]), 4),
        "contrast": round(math.sqrt(max(float(shares @ (levels - mean) ** 2), 0.0)) / 127.5, 4),
        "sharpness": _sharpness(_luma(values[top : top + _SAMPLES, left : left + _SAMPLES])),
        "aspect": round(width / height, 4),
    }


def _is_flat(values: NDArray[np.uint8]) -> bool:
    return bool(values.min() == values.max())


def image_quality(header: Mapping[str, Any], measured: Mapping[str, Any], warnings: Sequence[str]) -> Quality:
    """All values under `quality` of one image: from its header, its display values, and its warnings."""
    together: Quality = {**header, **measured}
    together["window_warning"] = int(any(code.startswith(_WINDOW_WARNINGS) for code in warnings))
    return together


def _luma(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if values.ndim == 2:
        return values
    # BT.601 in 8-bit fixed point; the weights sum to 256, so no sum passes 16 bits.
    red, green, blue = (values[..., i].astype(np.uint16) for i in range(3))
    return ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.uint8)


def _sharpness(luma: NDArray[np.uint8]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    v = luma.astype(np.int16)
    laplacian = 4 * v[1:-1, 1:-1] - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]
    flat = laplacian.astype(np.float32).ravel()
    variance = float(np.vdot(flat, flat)) / flat.size - float(flat.mean()) ** 2
    return round(math.sqrt(max(variance, 0.0)) / 127.5, 4)


def _numbers(elements: Elements, keyword: str) -> list[float]:
    numbers = []
    for part in str(elements.get(keyword, "")).split("\\"):
        try:
            numbers.append(float(part))
        except ValueError:
            return []
    return numbers if all(map(math.isfinite, numbers)) else []
