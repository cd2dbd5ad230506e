"""The attributes of a DICOM image that decide how its stored values become display values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MAX_BITS = 32


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center (0028,1050) and Window Width (0028,1051), in units after the modality transformation."""

    center: float
    width: float


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A modality or VOI LUT (PS3.3 C.11.1.1.1, C.11.2.1.1): `values[i]` is the output for input `first + i`.

    Inputs below `first` take the first value, inputs above the table the last. `bits` is the nominal depth.
    """

    first: int
    values: NDArray[np.float64]
    bits: int


@dataclass(frozen=True, slots=True)
class PixelAttributes:
    """What `render` needs to know beside the stored values; the defaults mean "absent from the dataset".

    `padding` is the closed range of stored values that Pixel Padding Value and Range Limit name (PS3.3
    C.7.5.1.1.2); it is left out of statistics, not painted over.
    `palette` is uint8 [n, 3], the colour of stored value `palette_first + i` (PS3.3 C.7.6.3.1.5).
    `hounsfield` says that values after the modality transformation are Hounsfield units.
    """

    modality: str = ""
    photometric_interpretation: str = "MONOCHROME2"
    bits_stored: int = 16
    secondary_capture: bool = False
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    hounsfield: bool = False
    modality_lut: LookupTable | None = None
    voi_lut: LookupTable | None = None
    windows: tuple[Window, ...] = ()
    voi_lut_function: str = "LINEAR"
    presentation_lut_shape: str = ""
    padding: tuple[int, int] | None = None
    palette: NDArray[np.uint8] | None = None
    palette_first: int = 0


def attributes_of(dataset: Dataset, frame: int = 0) -> PixelAttributes:
    """Collect the attributes of one frame; functional groups (PS3.3 C.7.6.16) win over the top level."""
    bits_stored = _integer(dataset, "BitsStored") or _integer(dataset, "BitsAllocated") or 16
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2").strip().upper()
    modality = str(dataset.get("Modality") or "").strip().upper()
    transformation = _group(dataset, frame, "PixelValueTransformationSequence")
    slope, intercept = _number(transformation, "RescaleSlope"), _number(transformation, "RescaleIntercept")
    rescale_type = str(transformation.get("RescaleType") or "HU").strip().upper()
    voi = _group(dataset, frame, "FrameVOILUTSequence")
    modality_lut = _lookup_table(transformation.get("ModalityLUTSequence"))
    palette, palette_first = _palette(dataset) if photometric == "PALETTE COLOR" else (None, 0)
    return PixelAttributes(
        modality=modality,
        photometric_interpretation=photometric,
        bits_stored=_possible_bits(bits_stored),
        secondary_capture=str(dataset.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE),
        rescale_slope=slope or 1.0,
        rescale_intercept=intercept or 0.0,
        hounsfield=modality == "CT"
        and slope is not None
        and intercept is not None
        and modality_lut is None
        and rescale_type in {"HU", "HU_MOD"},
        modality_lut=modality_lut,
        voi_lut=_lookup_table(voi.get("VOILUTSequence")),
        windows=_windows(voi),
        voi_lut_function=str(voi.get("VOILUTFunction") or "LINEAR").strip().upper(),
        presentation_lut_shape=str(dataset.get("PresentationLUTShape") or "").strip().upper(),
        padding=_padding(dataset),
        palette=palette,
        palette_first=palette_first,
    )


def _group(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    places = [per_frame[frame]] if frame < len(per_frame) else []
    for place in [*places, *shared[:1]]:
        items = place.get(keyword)
        if items:
            found: Dataset = items[0]
            return found
    return dataset


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset.get(keyword))
    return numbers[0] if numbers else None


def _numbers(value: Any) -> list[float]:
    if value is None or value == "":
        return []
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    numbers = []
    for item in several:
        try:
            number = float(item)
        except (TypeError, ValueError):
            continue
        if isfinite(number):
            numbers.append(number)
    return numbers


def _integer(dataset: Dataset, keyword: str) -> int | None:
    number = _number(dataset, keyword)
    return None if number is None else int(number)


def _possible_bits(stated: int) -> int:
    return min(max(stated, 1), MAX_BITS)


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    centers, widths = _numbers(dataset.get("WindowCenter")), _numbers(dataset.get("WindowWidth"))
    return tuple(Window(c, w) for c, w in zip(centers, widths, strict=False))


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    value = _integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = _integer(dataset, "PixelPaddingRangeLimit")
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def _lookup_table(sequence: Any) -> LookupTable | None:
    if not sequence:
        return None
    item = sequence[0]
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or data is None or len(descriptor) != 3:
        return None
    if isinstance(data, bytes):
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if _little_endian(item) else ">u2")
    values = np.asarray(data, dtype=np.float64).ravel()
    # PS3.3 C.11.1.1: a count of 0 stands for 65,536 entries.
    count = int(descriptor[0]) or 65536
    if not values.size:
        return None
    return LookupTable(int(descriptor[1]), values[:count], _possible_bits(int(descriptor[2])))


def _little_endian(dataset: Dataset) -> bool:
    return bool(dataset.original_encoding[1] is not False)


def _palette(dataset: Dataset) -> tuple[NDArray[np.uint8] | None, int]:
    from pydicom.pixels.processing import apply_color_lut

    descriptor = dataset.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None or len(descriptor) != 3:
        return None, 0
    count, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
    stored = np.arange(first, first + count)
    colours = np.asarray(apply_color_lut(stored, dataset))[..., :3]
    # Some writers store 8-bit colours in 16-bit tables, though PS3.3 C.7.6.3.1.6 wants the full range used.
    if bits == 16 and colours.max() > 255:
        colours = colours >> 8
    return colours.astype(np.uint8), first
