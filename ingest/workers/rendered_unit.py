"""A rendered unit as model inputs or display values in one array: what a worker process returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.display import Display
from medsiglip.ingest.units.plan import Slice, Unit
from medsiglip.ingest.units.rendered_image import FileOutcome, RenderedImage
from medsiglip.ingest.workers.unit_rendering import render_images

# In place of a profile: display values instead of model inputs.
AS_DISPLAYED = "as-displayed"
# Display values of a unit: 85 slices of a tomosynthesis are 0.7 GB, a CT of 2,000 slices in colour 1.6 GB.
MAX_DISPLAY_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """How one image was rendered, and what was measured on it (`quality.<name>` in filters). `shape` is that
    of its display values, None for a model input; `thumbnail` is a JPEG, empty where there is none.
    """

    slice: Slice
    rendering: str
    params: Mapping[str, object]
    warnings: tuple[str, ...]
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class RenderedUnit:
    """`inputs` is uint8 [n, size, size, 3], one model input for each of `images`, or uint8 [m], the display
    values of all, one after the other; `files` has one outcome per header.
    """

    files: tuple[FileOutcome, ...]
    images: tuple[ImageFacts, ...] = ()
    inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))


def render_unit(
    unit: Unit,
    size: int,
    profile: str,
    allocate: Callable[[tuple[int, ...]], NDArray[np.uint8]] = lambda shape: np.empty(shape, np.uint8),
) -> RenderedUnit:
    """Decode, render and resize a unit, into an array that `allocate` returns for its shape."""
    from medsiglip.preprocess import to_model_input

    files: list[FileOutcome] = []
    images: list[ImageFacts] = []
    inputs = allocate((unit.max_images, size, size, 3))
    for item in render_images(unit, lambda values: to_model_input(values, size, profile)):
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
                thumbnail=item.thumbnail,
            )
        )
    return RenderedUnit(tuple(files), tuple(images), inputs[: len(images)])


def render_for_display(unit: Unit, allocate: Callable[[tuple[int, ...]], NDArray[np.uint8]]) -> RenderedUnit:
    """Decode and render a unit to display values. `allocate` is called for each greater size and returns an
    array that still holds what was written. Raises MemoryError beyond `MAX_DISPLAY_BYTES`.
    """
    files: list[FileOutcome] = []
    images: list[ImageFacts] = []
    shown = allocate((0,))
    for item in render_images(unit):
        if isinstance(item, FileOutcome):
            files.append(item)
            continue
        display = item.display
        begin, end = len(shown), len(shown) + display.values.size
        if end > MAX_DISPLAY_BYTES:
            raise MemoryError
        shown = allocate((end,))
        shown[begin:] = display.values.ravel()
        shape = display.values.shape
        known = (item.slice, display.rendering, display.params, display.warnings, item.quality)
        images.append(ImageFacts(*known, shape, item.thumbnail))
    return RenderedUnit(tuple(files), tuple(images), shown)


def displayed_images(rendered: RenderedUnit) -> Iterator[RenderedImage]:
    """The images of a unit of `render_for_display`; their values are parts of its array."""
    begin = 0
    for image in rendered.images:
        assert image.shape is not None
        end = begin + prod(image.shape)
        values = rendered.inputs[begin:end].reshape(image.shape)
        display = Display(values, image.rendering, image.params, image.warnings)
        yield RenderedImage(image.slice, display, image.quality, image.thumbnail)
        begin = end


def reject_unit(unit: Unit, code: str) -> RenderedUnit:
    """The result when nothing of a unit can be used."""
    return RenderedUnit(tuple(FileOutcome(file, None, code) for file in range(len(unit.headers))))
