"""A unit drawn down to model input: what a worker process hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.drawing import FileOutcome, draw
from ingest.plan import Slice, Unit


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """How one image was drawn, and what was measured on it (`quality.<name>` in filters)."""

    slice: Slice
    rendering: str
    params: Mapping[str, object]
    warnings: tuple[str, ...]
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrawnUnit:
    """`inputs` is uint8 [n, size, size, 3], one model input for each of `images`; `files` has one outcome per
    header.
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


def reject_unit(unit: Unit, code: str) -> DrawnUnit:
    """The result when nothing of a unit can be used."""
    return DrawnUnit(tuple(FileOutcome(file, None, code) for file in range(len(unit.headers))))
