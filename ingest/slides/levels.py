"""The resolution levels of a slide (PS3.3 C.8.12.4): the positions of their tiles in the total pixel matrix,
the level that suits a magnification, and the grid of patches over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.units.plan import Region

if TYPE_CHECKING:
    from pydicom import Dataset

    from medsiglip.ingest.slides.tiles import TileFile

# Nominal magnification x micrometres per pixel: 40x is 0.25, 20x is 0.5 (Sellaro et al., J Pathol Inform
# 2013; 4:21).
MAGNIFICATION_MICROMETRES = 10.0
# The input size of the full-size encoder; the grid is the same with other encoders.
PATCH_PIXELS = 448
# 20x of a scanner is 0.46 to 0.55 micrometres per pixel: this factor still counts as the same.
COARSER_AT_MOST = 1.1
# 5x from a level finer than 80x would need a patch of more source pixels than memory allows.
MOST_REDUCTION = 20.0
# No glass is wider (whole mounts measure 203 x 152 mm): larger values are micrometres instead of mm.
MOST_MILLIMETRES = 300.0


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide: `rows` x `columns` of its total pixel matrix, in tiles.

    Tile i covers `tile_rows` x `tile_columns` pixels from (`top[i]`, `left[i]`) and is frame `frame[i]` of
    file `file[i]`. `files` are all that belong to the level, the first of its concatenation first.
    `micrometres` per pixel is None if unknown. `lacks_tiles` says that frames without a byte were left out,
    as if they were missing tiles of a sparse slide.
    """

    files: tuple[int, ...]
    rows: int
    columns: int
    micrometres: float | None
    tile_rows: int
    tile_columns: int
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    file: NDArray[np.int64]
    frame: NDArray[np.int64]
    pyramid: str = ""
    thumbnail: bool = False
    lacks_tiles: bool = False

    def tiles_in(self, region: Region) -> NDArray[np.int64]:
        """Indices of the tiles that overlap a region."""
        down = (self.top < region.row + region.height) & (self.top + self.tile_rows > region.row)
        across = (self.left < region.column + region.width) & (self.left + self.tile_columns > region.column)
        return np.flatnonzero(down & across)


@dataclass(frozen=True, slots=True)
class Grid:
    """Square patches of `side` pixels of a level, shown as `shown` x `shown`, counted row by row from the top
    left corner of the total pixel matrix; those at its right and lower edge may reach beyond it.
    """

    rows: int
    columns: int
    side: int
    shown: int

    def region(self, patch: int) -> Region:
        """The pixels of a patch."""
        row, column = divmod(patch, self.columns)
        return Region(row * self.side, column * self.side, self.side, self.side)

    def __len__(self) -> int:
        return self.rows * self.columns


def target_micrometres(magnification: float) -> float:
    """Micrometres per pixel of a nominal magnification."""
    return MAGNIFICATION_MICROMETRES / magnification


def grid_of(level: Level, magnification: float) -> Grid:
    """Patches at a magnification, or at the level's own resolution if that is coarser or unknown.

    A slide smaller than a patch is one patch of its longer side.
    """
    reduction = 1.0
    if is_fine_enough(level, magnification) and level.micrometres:
        reduction = max(target_micrometres(magnification) / level.micrometres, 1.0)
    side = min(round(PATCH_PIXELS * reduction), max(level.rows, level.columns))
    return Grid(ceil(level.rows / side), ceil(level.columns / side), side, min(side, PATCH_PIXELS))


def is_fine_enough(level: Level, magnification: float) -> bool:
    """Whether patches at this magnification can be made from a level."""
    if level.micrometres is None:
        return False
    reduction = target_micrometres(magnification) / level.micrometres
    return 1 / COARSER_AT_MOST <= reduction <= MOST_REDUCTION


def choose_levels(levels: Sequence[Level], magnification: float) -> list[Level]:
    """The level to render of each pyramid: the coarsest that is fine enough, else the finest.

    Several instances of that resolution (one for each optical path or focal plane, say) are rendered each.
    Where there is any VOLUME image, THUMBNAIL images are not rendered (PS3.3 C.8.12.4.1.1).
    """
    candidates = [level for level in levels if not level.thumbnail] or list(levels)
    chosen = []
    for pyramid in dict.fromkeys(level.pyramid for level in candidates):
        members = [level for level in candidates if level.pyramid == pyramid]
        fine = [level for level in members if is_fine_enough(level, magnification)]
        best = min(fine, key=_size) if fine else max(members, key=_size)
        chosen += [level for level in members if (level.rows, level.columns) == (best.rows, best.columns)]
    return chosen


def _size(level: Level) -> int:
    return level.rows * level.columns


def levels_of(files: Mapping[int, TileFile]) -> tuple[list[Level], dict[int, str]]:
    """The levels of some files, parts of a concatenation (PS3.3 C.7.6.16.2.2.4) being one level; and the code
    of `medsiglip.ingest.reasons` for files without valid tile positions.
    """
    parts: dict[str, list[int]] = {}
    for number, tiles in files.items():
        own = str(tiles.header.get("ConcatenationUID") or "") or f"file {number}"
        parts.setdefault(own, []).append(number)
    levels, refused = [], {}
    for members in parts.values():
        ordered = sorted(members, key=lambda number: _offset(files[number].header))
        try:
            levels.append(_level(ordered, files))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            refused.update(dict.fromkeys(members, "inconsistent-pixels"))
        except Exception as error:
            refused.update(dict.fromkeys(members, str(getattr(error, "code", "inconsistent-pixels"))))
    return levels, refused


def _offset(header: Dataset) -> int:
    return int(header.get("ConcatenationFrameOffsetNumber") or 0)


def _level(members: Sequence[int], files: Mapping[int, TileFile]) -> Level:
    header = files[members[0]].header
    tile_rows, tile_columns = int(header.Rows), int(header.Columns)
    rows = int(header.get("TotalPixelMatrixRows") or 0)
    columns = int(header.get("TotalPixelMatrixColumns") or 0)
    if not (rows and columns) and all(len(files[m].offsets.first) == 2 for m in members):
        rows, columns = tile_rows, tile_columns
    if min(rows, columns, tile_rows, tile_columns) < 1:
        raise decode_error("inconsistent-pixels")
    places = [_places(files[m], m, rows, columns) for m in members]
    top, left, file, frame = (np.concatenate(parts) for parts in zip(*places, strict=True))
    flavour = str((header.get("ImageType") or [""] * 3)[2]).upper() if _has_flavour(header) else ""
    return Level(
        tuple(members),
        rows,
        columns,
        _micrometres(header, columns),
        tile_rows,
        tile_columns,
        top,
        left,
        file,
        frame,
        str(header.get("PyramidUID") or ""),
        flavour == "THUMBNAIL",
        not all(files[member].offsets.held().all() for member in members),
    )


def _has_flavour(header: Dataset) -> bool:
    kinds = header.get("ImageType") or []
    return not isinstance(kinds, str) and len(kinds) > 2


def _places(tiles: TileFile, number: int, rows: int, columns: int) -> tuple[NDArray[np.int64], ...]:
    """Top, left, file and frame of the tiles of a file: those of its first optical path and middle plane that
    have any bytes.
    """
    header, count = tiles.header, len(tiles.offsets.first) - 1
    frame = np.arange(count, dtype=np.int64)
    if tiles.positions is not None:
        top, left = tiles.positions.row, tiles.positions.column
        kept = _first_path(header, tiles.positions.optical_path, count)
        if tiles.positions.z_offset is not None and kept.any():
            planes = np.unique(tiles.positions.z_offset[kept])
            kept &= tiles.positions.z_offset == planes[len(planes) // 2]
    elif str(header.get("DimensionOrganizationType") or "") == "TILED_SPARSE" and count > 1:
        raise decode_error("inconsistent-pixels")
    else:
        # PS3.3 C.7.6.17.3: along a row of tiles, down the rows, then focal planes, then optical paths.
        across, down = ceil(columns / int(header.Columns)), ceil(rows / int(header.Rows))
        planes_stated = int(header.get("TotalPixelMatrixFocalPlanes") or 1)
        place = frame + _offset(header)
        plane, tile = np.divmod(place, across * down)
        top = tile // across * int(header.Rows)
        left = tile % across * int(header.Columns)
        kept = plane == max(planes_stated, 1) // 2
    kept = kept & tiles.offsets.held()
    kept = kept & (top >= 0) & (left >= 0) & (top < rows) & (left < columns)
    return top[kept], left[kept], np.full(int(kept.sum()), number, np.int64), frame[kept]


def _first_path(header: Dataset, paths: tuple[str, ...] | None, count: int) -> NDArray[np.bool_]:
    every = np.ones(count, bool)
    if paths is None:
        return every
    sequence = header.get("OpticalPathSequence") or []
    named = str(sequence[0].get("OpticalPathIdentifier") or "") if len(sequence) else ""
    return np.array([path == (named if named in paths else paths[0]) for path in paths], bool)


def _micrometres(header: Dataset, columns: int) -> float | None:
    """From Pixel Spacing of the shared functional groups, else Imaged Volume Width; both are in mm, and are
    ignored if the slide would be wider than `MOST_MILLIMETRES`.
    """
    for stated in (_pixel_spacing, _imaged_spacing):
        try:
            millimetres = stated(header, columns)
        except (AttributeError, IndexError, TypeError, ValueError):
            continue
        if 0.0 < millimetres * columns < MOST_MILLIMETRES:
            return 1000.0 * millimetres
    return None


def _pixel_spacing(header: Dataset, columns: int) -> float:
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    down, across = (float(value) for value in measures.PixelSpacing)
    return sqrt(down * across)


def _imaged_spacing(header: Dataset, columns: int) -> float:
    return float(header.ImagedVolumeWidth) / columns
