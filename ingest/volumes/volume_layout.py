"""The orientation of the grid of a volume file in the patient, and the plane to render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.header.pixel_spacing import aspect_of_pair

MAX_BYTES = 4 << 30
# Smaller files are read at once, larger ones slice by slice if their format allows it.
WHOLE_AT_MOST = 64 << 20
# Slices this many times as far apart as their pixels were acquired as slices; other planes would show little.
THICK_SLICES = 2.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The values of a file: `size` in the order x, y, z, t, of as many axes as there are, `components` of
    `dtype` in each voxel.

    `directions` [3, 3] has the direction of each axis x, y, z in a column, in the coordinates of DICOM, and
    `spacing` the steps along them in mm.
    """

    size: tuple[int, ...]
    components: int
    dtype: np.dtype[Any]
    directions: NDArray[np.float64]
    spacing: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VolumeLayout:
    """The slices to render in the grid [z, y, x] of the file.

    `slice_axis`, `row_axis` and `column_axis` are axes of [z, y, x]; `flips` says which run against the
    rendered order. `rows` x `columns` is the size of a slice as rendered.
    `spacing` is the distance of pixels along [z, y, x], in mm.
    """

    dimension: int
    shape: tuple[int, int, int]
    volumes: int
    dtype: np.dtype[Any]
    is_vector: bool
    is_rgb: bool
    readable_by_slice: bool
    plane: str
    slice_axis: int
    row_axis: int
    column_axis: int
    flips: tuple[bool, bool, bool]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, grid: Grid, *, readable_by_slice: bool) -> VolumeLayout:
        """The layout of a grid.

        Raises RuntimeError if it is not a volume that can be rendered, OverflowError if it has over
        `MAX_BYTES`.
        """
        size, dimension, components, dtype = grid.size, len(grid.size), grid.components, grid.dtype
        if dimension not in (2, 3, 4) or min(size) < 1:
            raise RuntimeError
        is_rgb = components in (3, 4) and dtype == np.uint8
        shape = (size[2] if dimension > 2 else 1, size[1], size[0])
        times = size[3] if dimension == 4 else 1
        if components > 1 and times > 1:
            raise RuntimeError
        plane, axes, flips = _orient(grid)
        whole = int(np.prod(size, dtype=np.float64)) * components * dtype.itemsize
        if whole > MAX_BYTES:
            raise OverflowError
        return cls(
            dimension,
            shape,
            times if is_rgb or components == 1 else components,
            dtype,
            components > 1,
            is_rgb,
            dimension > 2
            and components == 1
            and axes[0] == 0
            and readable_by_slice
            and whole > WHOLE_AT_MOST,
            plane,
            *axes,
            flips,
            _spacing(grid.spacing),
        )

    @property
    def slices(self) -> int:
        """Slices of one volume."""
        return self.shape[self.slice_axis]

    @property
    def orientation(self) -> tuple[float, ...]:
        """The directions of rows and columns as rendered, like Image Orientation (Patient)."""
        directions = np.zeros((2, 3))
        for direction, (patient, sense) in zip(directions, reversed(_PLANES[self.plane][1:]), strict=True):
            direction[patient] = sense
        return tuple(float(number) for number in directions.ravel())

    @property
    def rows(self) -> int:
        """Height of a slice as rendered."""
        return self.shape[self.row_axis]

    @property
    def columns(self) -> int:
        """Width of a slice as rendered."""
        return self.shape[self.column_axis]

    @property
    def pixel_aspect(self) -> float:
        """Height / width of a pixel of a slice as rendered; 1 if the header gives no spacing."""
        return aspect_of_pair((self.spacing[self.row_axis], self.spacing[self.column_axis])) or 1.0

    def index_of(self, number: int) -> int:
        """The index of slice `number`, in anatomical order, along `slice_axis`."""
        return self.slices - 1 - number if self.flips[0] else number

    def upright(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A slice in viewing orientation, from [z, y, x] without the axis of the slices, colours last."""
        if self.row_axis > self.column_axis:
            stored = np.swapaxes(stored, 0, 1)
        if self.flips[1]:
            stored = stored[::-1]
        if self.flips[2]:
            stored = stored[:, ::-1]
        return np.ascontiguousarray(stored[..., :3] if self.is_rgb else stored)


# For each plane: the patient's axis (0 left, 1 back, 2 head) and sense of slices, rows downwards, columns to
# the right. Slices run along row direction x column direction, as those of a DICOM series do.
_PLANES = {
    "axial": ((2, 1), (1, 1), (0, 1)),
    "coronal": ((1, 1), (2, -1), (0, 1)),
    "sagittal": ((0, -1), (2, -1), (1, 1)),
}


def _orient(grid: Grid) -> tuple[str, tuple[int, int, int], tuple[bool, bool, bool]]:
    """The plane to render, and the axes of [z, y, x] and flips of slices, rows and columns.

    Axial, unless slices of another plane lie `THICK_SLICES` times as far apart as their pixels; a picture of
    two dimensions is rendered as it lies.
    """
    if len(grid.size) == 2:
        return "axial", (0, 1, 2), (False, False, False)
    matrix, step = grid.directions, np.asarray(grid.spacing, float)
    grid_axis = _assign(np.abs(matrix))
    thick = int(np.argmax(step))
    plane = "axial"
    if step[thick] >= THICK_SLICES * np.median(step):
        plane = {0: "sagittal", 1: "coronal", 2: "axial"}[int(np.argmax(grid_axis == thick))]
    chosen = [(int(grid_axis[patient]), patient, sense) for patient, sense in _PLANES[plane]]
    axes = [2 - axis for axis, _, _ in chosen]
    flips = [bool(matrix[patient, axis] * sense < 0) for axis, patient, sense in chosen]
    return plane, (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])


def _spacing(spacing: tuple[float, ...]) -> tuple[float, float, float]:
    """That of [z, y, x], from that of a file of two to four dimensions."""
    return (float(spacing[2]) if len(spacing) > 2 else 1.0, float(spacing[1]), float(spacing[0]))


def _assign(cosines: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each axis of the patient the best aligned axis of the grid, each used once."""
    left = np.nan_to_num(cosines.copy())
    found = np.zeros(3, np.int64)
    for _ in range(3):
        patient, axis = np.unravel_index(int(np.argmax(left)), left.shape)
        found[patient] = axis
        left[patient, :] = left[:, axis] = -1.0
    return found
