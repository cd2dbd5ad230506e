"""Siemens mosaics: MR volumes whose slices are tiles of one image.

Neither the layout nor the CSA header is part of DICOM; both are as NiBabel ("Siemens format DICOM with CSA
header") and SPM's `spm_dicom_headers` describe them.
"""

from __future__ import annotations

import struct
from math import ceil, isqrt, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.ingest.header.slice_place import SlicePlace, as_number

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_TILES = 1024


def is_mosaic(image_type: str) -> bool:
    """Whether Image Type (0008,0008) is that of a mosaic."""
    return "MOSAIC" in image_type.upper().split("\\")


def tile_count(dataset: Dataset) -> int:
    """The number of tiles of a mosaic that hold a slice; 0 if unknown.

    From the CSA header, else from (0019,100A), else from Acquisition Matrix (0018,1310), which gives all
    tiles of the grid, of which the last may be blank.
    """
    stated = as_number(_csa(dataset).get("NumberOfImagesInMosaic"))
    if stated is None:
        stated = as_number(_private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0A))
    count = int(stated) if stated is not None and 0 < stated <= MAX_TILES else _count_by_matrix(dataset)
    return count if tile_region(0, count, dataset.get("Rows"), dataset.get("Columns")) else 0


def tile_region(tile: int, count: int, rows: Any, columns: Any) -> tuple[int, int, int, int] | None:
    """Row, column, height and width of a tile: a square grid, filled row by row. None if `rows` and `columns`
    do not fit the grid of `count` tiles.
    """
    side = ceil(sqrt(count)) if count > 0 else 0
    if not side or not rows or not columns or rows % side or columns % side:
        return None
    height, width = rows // side, columns // side
    return tile // side * height, tile % side * width, height, width


def tile_places(dataset: Dataset, count: int, mosaic: SlicePlace) -> tuple[SlicePlace, ...]:
    """The places of the tiles along the slice normal. `mosaic` is the place in the header; its position, the
    corner of the mosaic, only serves as the common origin of the tiles.
    """
    normal = as_numbers(_csa(dataset).get("SliceNormalVector"))
    orientation = mosaic.orientation
    if orientation is None:
        return tuple(
            SlicePlace(None, None, tile + 1, mosaic.kind, mosaic.contrast, mosaic.time)
            for tile in range(count)
        )
    upright = np.cross(orientation[:3], orientation[3:])
    if len(normal) == 3 and float(np.dot(upright, normal)) < 0:
        upright = -upright
    step = as_number(dataset.get("SpacingBetweenSlices")) or as_number(dataset.get("SliceThickness")) or 1.0
    origin = np.asarray(mosaic.position or (0.0, 0.0, 0.0))
    return tuple(
        SlicePlace(
            tuple(map(float, origin + tile * abs(step) * upright)),
            orientation,
            tile + 1,
            mosaic.kind,
            mosaic.contrast,
            # Instance Number distinguishes times if nothing else does.
            (*mosaic.time, float(mosaic.instance_number or 0)),
        )
        for tile in range(count)
    )


def as_numbers(value: Any) -> tuple[float, ...]:
    """The numbers among the values of a CSA tag."""
    numbers = (as_number(one) for one in (value or ()))
    return tuple(number for number in numbers if number is not None)


def read_csa(data: bytes) -> dict[str, tuple[str, ...]]:
    """The tags of a CSA header (either form): name to values, as text, empty ones left out.

    Never raises; everything after the first error is left out.
    """
    tags: dict[str, tuple[str, ...]] = {}
    second = data[:4] == b"SV10"
    at = 8 if second else 0
    first_items: int | None = None
    try:
        (count,) = struct.unpack_from("<I", data, at)
        at += 8
        for _ in range(min(count, 1000)):
            name, items = struct.unpack_from("<64s12xI4x", data, at)
            at += 84
            values = []
            if first_items is None:
                first_items = items
            for _ in range(min(items, 1000)):
                lengths = struct.unpack_from("<4I", data, at)
                at += 16
                length = lengths[1] if second else max(lengths[0] - first_items, 0)  # as SPM has it
                value = data[at : at + length]
                if len(value) < length:
                    return tags
                at += (length + 3) // 4 * 4
                text = value.split(b"\0")[0].decode("latin-1").strip()
                if text:
                    values.append(text)
            tags[name.split(b"\0")[0].decode("latin-1")] = tuple(values)
    except struct.error:
        pass
    return tags


def _csa(dataset: Dataset) -> dict[str, Any]:
    value = _private(dataset, 0x0029, "SIEMENS CSA HEADER", 0x10)
    tags = read_csa(value) if isinstance(value, bytes) else {}
    return {
        name: values if name == "SliceNormalVector" else values[0] for name, values in tags.items() if values
    }


def _private(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    try:
        return dataset.private_block(group, creator)[element].value
    except (KeyError, IndexError):
        return None


def _count_by_matrix(dataset: Dataset) -> int:
    """The grid that divides the mosaic into tiles of the size of the Acquisition Matrix, or near it."""
    matrix = [int(n) for n in dataset.get("AcquisitionMatrix") or [] if n]
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not matrix or not rows or not columns:
        return 0
    sides = [n for n in range(2, isqrt(MAX_TILES) + 1) if rows % n == 0 and columns % n == 0]
    side = min(sides, key=lambda n: abs(columns / n - max(matrix)), default=0)
    return side * side if side and abs(columns / side - max(matrix)) <= 0.25 * max(matrix) else 0
