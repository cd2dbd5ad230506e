"""A unit drawn down to model input: what a worker process hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.render import Display
from medsiglip.ingest.units.plan import Slice, Unit
from medsiglip.ingest.workers.unit_rendering import DrawnImage, FileOutcome, draw

# In place of a profile: display values, as a person sees them.
AS_DISPLAYED = "as-displayed"
# Display values of a unit: 85 slices of a tomosynthesis are 0.7 GB, a CT of 2,000 slices in colour 1.6 GB.
MAX_SHOWN_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """How one image was drawn, and what was measured on it (`quality.<name>` in filters); `shape` is that of
    its display values, if these are what was drawn.
    """

    slice: Slice
    rendering: str
    params: Mapping[str, object]
    warnings: tuple[str, ...]
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class DrawnUnit:
    """`inputs` is uint8 [n, size, size, 3], one model input for each of `images`, or uint8 [m], the display
    values of all, one after the other; `files` has one outcome per header.
    """

    files: tuple[FileOutcome, ...]
    images: tuple[ImageFacts, ...] = ()
    inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))


def draw_unit(
    unit: Unit,
    size: int,
    profile: str,
    allocate: Callable[[tuple[int, ...]], NDArray[np.uint8]] = lambda shape: np.empty(shape, np.uint8),
) -> DrawnUnit:
    """Decode, render and resize a unit; the inputs are drawn into what `allocate` gives for their shape."""
    from medsiglip.preprocess import to_model_input

    files: list[FileOutcome] = []
    images: list[ImageFacts] = []
    inputs = allocate((unit.max_images, size, size, 3))
    for item in draw(unit, lambda values: to_model_input(values, size, profile)):
        if isinstance(item, FileOutcome):
            files.append(item)
            continue
        inputs[len(images)] = item.display.values
        images.append(
            ImageFacts(
                item.slice,
                item.display.rendering,
                item.display.params,
                item.display.warnings,
                item.quality,
            )
        )
    return DrawnUnit(tuple(files), tuple(images), inputs[: len(images)])


def show_unit(unit: Unit, allocate: Callable[[tuple[int, ...]], NDArray[np.uint8]]) -> DrawnUnit:
    """Decode and render a unit to display values, in an array that `allocate` gives again for each greater
    size, with what it held. Raises MemoryError beyond `MAX_SHOWN_BYTES`.
    """
    files: list[FileOutcome] = []
    images: list[ImageFacts] = []
    shown = allocate((0,))
    for item in draw(unit):
        if isinstance(item, FileOutcome):
            files.append(item)
            continue
        display = item.display
        begin, end = len(shown), len(shown) + display.values.size
        if end > MAX_SHOWN_BYTES:
            raise MemoryError
        shown = allocate((end,))
        shown[begin:] = display.values.ravel()
        shape = display.values.shape
        images.append(
            ImageFacts(item.slice, display.rendering, display.params, display.warnings, item.quality, shape)
        )
    return DrawnUnit(tuple(files), tuple(images), shown)


def shown_images(drawn: DrawnUnit) -> Iterator[DrawnImage]:
    """The images of a unit drawn by `show_unit`; their values are parts of its array."""
    begin = 0
    for image in drawn.images:
        assert image.shape is not None
        end = begin + prod(image.shape)
        values = drawn.inputs[begin:end].reshape(image.shape)
        display = Display(values, image.rendering, image.params, image.warnings)
        yield DrawnImage(image.slice, display, image.quality)
        begin = end


def reject_unit(unit: Unit, code: str) -> DrawnUnit:
    """The result when nothing of a unit can be used."""
    return DrawnUnit(tuple(FileOutcome(file, None, code) for file in range(len(unit.headers))))
