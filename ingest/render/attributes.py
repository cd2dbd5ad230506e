"""The attributes of a DICOM image that decide how its stored values become display values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.dicom.element_value import value_of
from medsiglip.ingest.dicom.sop_classes import is_angiography
from medsiglip.ingest.header.pixel_spacing import SPACINGS, aspect_of_pair
from medsiglip.ingest.header.slice_place import image_kind
from medsiglip.ingest.render.lookup_table import LookupTable, read_lookup_table, read_palette
from medsiglip.ingest.render.pixel_aspect import aspect_of_regions

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_BITS = 64
# Functional groups with the spacing of pixels (PS3.3 C.7.6.16.2.1, C.8.19.6.4).
_MEASURES = ("PixelMeasuresSequence", "FramePixelDataPropertiesSequence")
# With slopes beyond these, all values are lost to rounding.
_SLOPES = (1e-30, 1e30)
_HOUNSFIELD = frozenset({"HU", "HU_MOD"})
# Other spellings, without anything that is not a letter; "Houndsfield Unit" is a common one.
_HOUNSFIELD_LETTERS = frozenset({"HU", "HUS", "HUMOD", "HUUNIT", "HUUNITS", "HUNIT", "HUNITS", "CTNUMBER"})
_HOUNSFIELD_BEGINNINGS = ("HOUNSF", "HOUNDSF", "HOUNDF", "HOUNSV", "HOUNF", "HOUSF", "HAUNSF")
_AIR = -1024.0


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center (0028,1050) and Window Width (0028,1051), in units after the modality transformation.

    Both are NaN if the data set gives something that is not a number.
    """

    center: float
    width: float


@dataclass(frozen=True, slots=True)
class PixelAttributes:
    """The attributes that rendering needs; the defaults mean "absent from the data set".

    `padding` is the closed range of stored values that Pixel Padding Value and Range Limit name (PS3.3
    C.7.5.1.1.2); it is left out of statistics, but rendered.
    `palette` is uint8 [n, 3], the colour of stored value `palette_first + i` (PS3.3 C.7.6.3.1.5);
    `supplemental` means that it colours only the stored values from `palette_first` on (PS3.3 C.7.6.19).
    `hounsfield` means that values after the modality transformation are Hounsfield units; those of a
    localizer, which is a projection, are not (PS3.3 C.8.2.1.1.1), whatever its rescale type.
    `angiography` means XA or XRF: the Modality LUT of such an image leads back to X-ray intensity and is not
    for display (PS3.3 C.8.7.1.1.2, PS3.4 N.2.1.2).
    `icc_profile` is that of the image or of the frame's optical path (PS3.3 C.11.15).
    `pixel_aspect` is the height of a pixel / its width, 1 if nothing says so.
    `warnings` are codes of `medsiglip.ingest.render.display.WARNINGS` for attributes that could not be used
    as they are.
    """

    modality: str = ""
    photometric_interpretation: str = "MONOCHROME2"
    bits_stored: int = 16
    secondary_capture: bool = False
    angiography: bool = False
    localizer: bool = False
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
    supplemental: bool = False
    icc_profile: bytes | None = None
    pixel_aspect: float = 1.0
    warnings: tuple[str, ...] = ()


def attributes_of(dataset: Dataset, frame: int = 0) -> PixelAttributes:
    """Collect the attributes of one frame. Never raises for what the data set holds."""
    return AttributeReader(dataset).frame(frame)


class AttributeReader:
    """Collects the attributes of the frames of one file; what all frames share is read once.

    Functional groups win over the top level, those of a frame over shared ones (PS3.3 C.7.6.16). A value
    that is malformed counts as absent.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
        self._shared = _items(dataset, "SharedFunctionalGroupsSequence")[:1]
        self._base = _file_attributes(dataset)
        self._negative_stored = _integer(dataset, "PixelRepresentation") == 1
        self._known: dict[tuple[int, ...], PixelAttributes] = {}

    def frame(self, frame: int) -> PixelAttributes:
        """The attributes of frame `frame`, counted from 0."""
        transformation = self._group(frame, "PixelValueTransformationSequence")
        voi = self._group(frame, "FrameVOILUTSequence")
        path = self._group(frame, "OpticalPathIdentificationSequence")
        measures = [self._group(frame, keyword) for keyword in _MEASURES]
        # The items live as long as the data set, so their ids identify them.
        key = (id(transformation), id(voi), id(path), *map(id, measures))
        known = self._known.get(key)
        if known is None:
            attributes = self._with_groups(transformation, voi, path)
            aspect = _pixel_aspect(self._dataset, measures)
            known = self._known[key] = replace(attributes, pixel_aspect=aspect)
        return known

    def _group(self, frame: int, keyword: str) -> Dataset:
        places = self._per_frame[frame : frame + 1] if frame >= 0 else []
        for place in (*places, *self._shared):
            items = _items(place, keyword)
            if items:
                return items[0]
        return self._dataset

    def _with_groups(self, transformation: Dataset, voi: Dataset, path: Dataset) -> PixelAttributes:
        slope, intercept = (
            _number(transformation, "RescaleSlope"),
            _number(transformation, "RescaleIntercept"),
        )
        modality_lut = None
        if not self._base.angiography:
            modality_lut = _table(
                transformation, "ModalityLUTSequence", negative_inputs=self._negative_stored
            )
        factor, offset, warnings = _rescale(slope, intercept)
        below_zero = modality_lut is None and _reaches_below_zero(
            self._negative_stored, self._base.bits_stored, factor, offset
        )
        hounsfield = (
            self._base.modality == "CT"
            and None not in (slope, intercept)
            and not warnings
            and modality_lut is None
            and not self._base.localizer
            and not self._base.secondary_capture
        )
        if hounsfield and self._base.bits_stored > 8:
            rescale_type = _text(transformation, "RescaleType") if "RescaleType" in transformation else "HU"
            hounsfield, warnings = _is_hounsfield_type(rescale_type, factor, offset)
        return replace(
            self._base,
            rescale_slope=factor,
            rescale_intercept=offset,
            hounsfield=hounsfield,
            modality_lut=modality_lut,
            voi_lut=_table(voi, "VOILUTSequence", negative_inputs=below_zero),
            windows=_windows(voi),
            voi_lut_function=_text(voi, "VOILUTFunction") or "LINEAR",
            icc_profile=_icc_profile(self._dataset, path),
            warnings=(*self._base.warnings, *warnings),
        )


def _file_attributes(dataset: Dataset) -> PixelAttributes:
    bits = _integer(dataset, "BitsStored") or _integer(dataset, "BitsAllocated") or 16
    modality, sop_class = _text(dataset, "Modality"), _text(dataset, "SOPClassUID")
    kind = image_kind("\\".join(_texts(dataset, "ImageType")), sop_class)
    photometric = _text(dataset, "PhotometricInterpretation") or "MONOCHROME2"
    supplemental = photometric == "MONOCHROME2" and _text(dataset, "PixelPresentation") in {"COLOR", "MIXED"}
    palette, first, warnings = None, 0, ("for-processing",) if _is_raw(dataset) else ()
    if photometric == "PALETTE COLOR" or supplemental:
        try:
            palette, first = read_palette(dataset) or (None, 0)
        except Exception:  # values of wrong types, of any kind
            palette = None
        if palette is None and not supplemental:
            warnings = (*warnings, "palette-invalid")
    return PixelAttributes(
        modality=modality,
        photometric_interpretation=photometric,
        bits_stored=min(max(bits, 1), MAX_BITS),
        secondary_capture=kind == "secondary-capture",
        angiography=is_angiography(sop_class, modality),
        localizer=kind == "localizer",
        presentation_lut_shape=_text(dataset, "PresentationLUTShape"),
        padding=_padding(dataset),
        palette=palette,
        palette_first=first,
        supplemental=supplemental and palette is not None,
        warnings=warnings,
    )


def _is_raw(dataset: Dataset) -> bool:
    return _text(dataset, "PresentationIntentType") == "FOR PROCESSING"


def _rescale(slope: float | None, intercept: float | None) -> tuple[float, float, tuple[str, ...]]:
    factor, offset = 1.0 if slope is None else slope, intercept or 0.0
    # With a slope that vanishes beside the intercept all values would be equal.
    if _SLOPES[0] <= abs(factor) <= _SLOPES[1] and offset + factor != offset:
        return factor, offset, ()
    return 1.0, 0.0, ("rescale-invalid",)


def _is_hounsfield_type(rescale_type: str, slope: float, intercept: float) -> tuple[bool, tuple[str, ...]]:
    """Whether a Rescale Type of a CT image means Hounsfield units, and a code if it has to be guessed.

    Without one they are (PS3.3 C.8.2.1); a blank one means nothing, but slope and intercept may be those of
    Hounsfield units.
    """
    if rescale_type in _HOUNSFIELD:
        return True, ()
    letters = "".join(filter(str.isalpha, rescale_type))
    misspelt = letters in _HOUNSFIELD_LETTERS or letters.startswith(_HOUNSFIELD_BEGINNINGS)
    blank = not letters and slope == 1.0 and _AIR <= intercept <= 0.0
    return (True, ("rescale-type-unusual",)) if misspelt or blank else (False, ())


def _reaches_below_zero(negative_stored: bool, bits: int, slope: float, intercept: float) -> bool:
    least = -(2.0 ** (bits - 1)) if negative_stored else 0.0
    most = 2.0 ** (bits - negative_stored) - 1
    return min(least * slope, most * slope) + intercept < 0


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    return tuple(
        Window(center, width) if isfinite(center) and isfinite(width) else Window(nan, nan)
        for center, width in zip(centers, widths, strict=False)
    )


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    bits = _integer(dataset, "BitsAllocated")
    ends = [_integer(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None or bits not in (8, 16, 32):
        return None
    least = -(1 << (bits - 1)) if _integer(dataset, "PixelRepresentation") == 1 else 0
    # The VR follows Pixel Representation (PS3.3 C.7.5.1.1.2), and is often the other one.
    stored = [(end - least) % (1 << bits) + least for end in ends if end is not None]
    return min(stored), max(stored)


def _pixel_aspect(dataset: Dataset, measures: Sequence[Dataset]) -> float:
    """Height / width of a pixel, by the functional groups before the rest."""
    for holder in (*measures, dataset):
        for keyword in SPACINGS:
            aspect = aspect_of_pair(_numbers(holder, keyword))
            if aspect is not None:
                return aspect
    return aspect_of_regions(_items(dataset, "SequenceOfUltrasoundRegions")) or 1.0


def _icc_profile(dataset: Dataset, path: Dataset) -> bytes | None:
    identifier = _value(path, "OpticalPathIdentifier")
    paths = _items(dataset, "OpticalPathSequence")
    named = [p for p in paths if identifier is not None and _value(p, "OpticalPathIdentifier") == identifier]
    for holder in (*named[:1], dataset, *paths[:1]):
        profile = _value(holder, "ICCProfile")
        if isinstance(profile, bytes) and profile:
            return profile
    return None


def _table(dataset: Dataset, keyword: str, *, negative_inputs: bool) -> LookupTable | None:
    items = _items(dataset, keyword)
    try:
        return read_lookup_table(items[0], negative_inputs=negative_inputs) if items else None
    except Exception:  # values of wrong types, of any kind
        return None


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return value_of(dataset, keyword)
    except Exception:  # pydicom converts a value on access, and may raise anything
        return None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is absent, empty or not a sequence."""
    value = _value(dataset, keyword)
    if value is None:
        return []
    from pydicom import Sequence as Items

    return list(value) if isinstance(value, Items) else []


def _text(dataset: Dataset, keyword: str) -> str:
    return next(iter(_texts(dataset, keyword)), "")


def _texts(dataset: Dataset, keyword: str) -> list[str]:
    """All values in upper case, without padding."""
    value = _value(dataset, keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return ["" if one is None else str(one).replace("\0", "").strip().upper() for one in several]


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values as numbers, NaN for one that is not a number."""
    value = _value(dataset, keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.split("\\")
    if value is None:
        return []
    return [_as_number(item) for item in (value if isinstance(value, Sequence) else [value])]


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return nan


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset, keyword)
    return numbers[0] if numbers and isfinite(numbers[0]) else None


def _integer(dataset: Dataset, keyword: str) -> int | None:
    number = _number(dataset, keyword)
    return None if number is None else int(number)
