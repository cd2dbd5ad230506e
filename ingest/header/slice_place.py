"""Where a slice lies and when it was taken: what is needed to order the images of a series."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.dicom.sop_classes import is_secondary_capture

# Values 3 and 4 of Image Type for pictures made of a volume instead of measured (PS3.3 C.7.6.1.1.2,
# C.8.16.1.3, and what vendors write).
_PROJECTIONS = frozenset(
    {
        "MIP",
        "MAX_IP",
        "MAXIMUM",
        "MINIP",
        "MIN_IP",
        "MNIP",
        "MINIMUM",
        "PROJECTION",
        "VOLREN",
        "VRT",
        "VR",
        "SSD",
    }
    | {"VOLUME_RENDER", "SURFACE_RENDER"}
)
_REFORMATS = frozenset({"MPR", "CPR", "REFORMATTED", "RESAMPLED", "CURVED_MPR", "CSA"})
_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})


@dataclass(frozen=True, slots=True)
class SlicePlace:
    """Image Position and Orientation (Patient) in mm, as far as the header gives them.

    Three keys distinguish slices of one series. Different `kind`s never share a stack: localizers, screen
    captures, projections, other matrix sizes. `contrast` (image type, echo, b-value, kernel and the like) and
    `time` (temporal position, acquisition and the like) split a series only if two slices would have the same
    place. Their values are numbers, texts or None; a field has the same index in all places of a series.
    `slice_location` is Slice Location (0020,1041) in mm, whose direction no attribute gives.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    instance_number: int | None
    kind: tuple[object, ...] = ()
    contrast: tuple[float | str | None, ...] = ()
    time: tuple[float | str | None, ...] = ()
    slice_location: float | None = None


def image_kind(image_type: str, sop_class_uid: str = "") -> str:
    """`localizer`, `secondary-capture`, `projection` (MIP, volume rendering), `reformatted` (MPR) or
    `slice`.

    `image_type` holds the values of Image Type (0008,0008) with backslashes between them.
    """
    words = {word for value in image_type.upper().split("\\") for word in (value, *value.split())}
    if words & _LOCALIZERS:
        return "localizer"
    if is_secondary_capture(sop_class_uid) or "SCREEN SAVE" in words:
        return "secondary-capture"
    if words & _PROJECTIONS:
        return "projection"
    return "reformatted" if words & _REFORMATS else "slice"


def place_of_elements(
    elements: Elements,
    position: tuple[float, ...] | None,
    orientation: tuple[float, ...] | None,
    instance_number: int | None,
) -> SlicePlace:
    """The place of a classic single-frame image; the elements are those of
    `medsiglip.ingest.header.header_values.KEYWORDS`.
    """
    image_type = str(elements.get("ImageType", "")).upper()
    return SlicePlace(
        position,
        orientation,
        instance_number,
        kind=(
            image_kind(image_type, str(elements.get("SOPClassUID", ""))),
            elements.get("Rows"),
            elements.get("Columns"),
        ),
        contrast=(
            image_type,
            as_number(elements.get("EchoTime")),
            as_number(elements.get("DiffusionBValue")),
            # Before or after contrast; the agent itself is free text and is not kept.
            "with" if elements.get("ContrastBolusAgent") else None,
            as_number(elements.get("KVP")),
            str(elements.get("ConvolutionKernel", "")).upper() or None,
            as_number(elements.get("InversionTime")),
            as_number(elements.get("FlipAngle")),
        ),
        time=(
            as_number(elements.get("TemporalPositionIdentifier")),
            as_number(elements.get("AcquisitionNumber")),
            as_number(elements.get("TriggerTime")),
            as_number(elements.get("AcquisitionTime")),
        ),
        slice_location=as_number(elements.get("SliceLocation")),
    )


def as_number(value: object) -> float | None:
    """The first number of an element's value; None if it has none."""
    try:
        number = float(str(value).split("\\")[0])
    except ValueError:
        return None
    return number if isfinite(number) else None
