"""The places of the frames of an enhanced CT, MR or PET image (PS3.3 C.7.6.16), legacy converted ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medsiglip.ingest.header.slice_place import SlicePlace, as_number, image_kind

if TYPE_CHECKING:
    from pydicom import Dataset

# Where Frame Type (0008,9007) stands: PS3.3 C.8.15.3.1 (CT), C.8.13.5.1 (MR), C.8.22.5.1 (PET).
_FRAME_TYPES = (
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "PETFrameTypeSequence",
)
# Attributes that a converter of classic images could not assign (PS3.3 C.7.6.16.2.25.1, .2).
_UNASSIGNED = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)


def frame_places(dataset: Dataset, count: int) -> tuple[SlicePlace, ...]:
    """The places of the first `count` frames, by their functional groups; empty if the dataset has none.

    Parts of a place whose groups are missing or malformed are None.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    common = [shared[0]] if len(shared) else []
    kind = (dataset.get("Rows"), dataset.get("Columns"))
    image_type = _text(dataset.get("ImageType"))
    return tuple(
        _place(_Groups([per_frame[frame], *common], dataset), frame, kind, image_type)
        for frame in range(min(count, len(per_frame)))
    )


class _Groups:
    """The functional groups of one frame, its own before the shared ones, then those of a converted classic
    image, then the top level.
    """

    def __init__(self, places: list[Dataset], dataset: Dataset) -> None:
        self._places = places
        self._dataset = dataset

    def group(self, keyword: str) -> Dataset | None:
        """The item of a functional group."""
        for place in self._places:
            items = place.get(keyword)
            if items:
                item: Dataset = items[0]
                return item
        return None

    def value(self, keyword: str, *groups: str) -> Any:
        """The value of an attribute in the first of `groups` that has it, else an unassigned one."""
        for name in (*groups, *_UNASSIGNED):
            item = self.group(name)
            value = None if item is None else item.get(keyword)
            if value not in (None, ""):
                return value
        return self._dataset.get(keyword)


def _place(groups: _Groups, frame: int, size: tuple[object, ...], image_type: str) -> SlicePlace:
    content = "FrameContentSequence"
    frame_type = _text(groups.value("FrameType", *_FRAME_TYPES)) or image_type
    stack = _text(groups.value("StackID", content))
    in_stack = as_number(groups.value("InStackPositionNumber", content))
    return SlicePlace(
        _floats(groups.value("ImagePositionPatient", "PlanePositionSequence"), 3),
        _floats(groups.value("ImageOrientationPatient", "PlaneOrientationSequence"), 6),
        frame + 1 if in_stack is None else int(in_stack),
        kind=(image_kind(frame_type), *size, stack),
        contrast=(
            frame_type,
            as_number(groups.value("EffectiveEchoTime", "MREchoSequence")),
            as_number(groups.value("DiffusionBValue", "MRDiffusionSequence")),
            _contrast_phase(groups),
            _gradient(groups),
            as_number(groups.value("KVP", "CTXRayDetailsSequence")),
            _text(groups.value("ConvolutionKernel", "CTReconstructionSequence")) or None,
            _text(groups.value("InversionTimes", "MRModifierSequence")) or None,
            as_number(groups.value("FlipAngle", "MRTimingAndRelatedParametersSequence")),
        ),
        time=(
            as_number(groups.value("TemporalPositionIndex", content)),
            as_number(groups.value("FrameAcquisitionNumber", content) or groups.value("AcquisitionNumber")),
            as_number(groups.value("TemporalPositionTimeOffset", "TemporalPositionSequence")),
            as_number(groups.value("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence")),
            as_number(groups.value("FrameAcquisitionDateTime", content)),
            *_dimensions(groups),
        ),
    )


def _contrast_phase(groups: _Groups) -> str | None:
    usage = groups.group("ContrastBolusUsageSequence")
    return None if usage is None else _text(usage.get("ContrastBolusAgentPhase")) or "with"


def _gradient(groups: _Groups) -> str | None:
    diffusion = groups.group("MRDiffusionSequence")
    items = None if diffusion is None else diffusion.get("DiffusionGradientDirectionSequence")
    return _text(items[0].get("DiffusionGradientOrientation")) if items else None


def _dimensions(groups: _Groups) -> tuple[float | None, ...]:
    """Dimension Index Values: the last resort to distinguish frames at one place."""
    value = groups.value("DimensionIndexValues", "FrameContentSequence")
    several = value if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else [value]
    return tuple(as_number(one) for one in several)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip().upper()
    several = value if hasattr(value, "__iter__") else [value]
    return "\\".join(str(one).strip() for one in several).upper()


def _floats(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or not hasattr(value, "__iter__") or isinstance(value, str):
        return None
    try:
        numbers = tuple(float(one) for one in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(abs(n) < 1e9 for n in numbers) else None
