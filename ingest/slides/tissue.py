"""Distinguishing tissue from glass, so that empty parts of a slide are left out."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.slides.levels import Grid, Level
from medsiglip.ingest.slides.regions import SlideRegions
from medsiglip.ingest.units.plan import Region

# A patch with less tissue than this is background.
LEAST_TISSUE = 0.05
# Glass is white or evenly grey. Stains are coloured (at least this difference between the strongest and the
# weakest channel) or dark. Scanners fill areas that were not scanned with black or white.
LEAST_CHROMA = 20
DARK, BLACK = 170, 30
# In grey slides fluorescence is bright on black and absorption dark on white; glass is even.
LEAST_DEVIATION = 3.0
# Pixels along each side of a patch that are enough to decide.
SAMPLED_PIXELS = 256
# A level of at most so many pixels is used for an overview, if it has so many along the side of a patch.
MAX_OVERVIEW_PIXELS, LEAST_OVERVIEW_SIDE = 1 << 24, 8
# If a slide has no such level, so many tiles of the rendered level are sampled.
MAX_SAMPLED_TILES = 2048


def tissue_share(values: NDArray[np.uint8]) -> float:
    """The share of tissue, 0 to 1, in display values uint8 [H, W, 3]; for [H, W] either 0 or 1.

    Colour: a pixel is tissue if its channels differ by `LEAST_CHROMA` or its brightest is at most `DARK`,
    unless that is below `BLACK`. Grey: the standard deviation is at least `LEAST_DEVIATION`.
    """
    if not values.size:
        return 0.0
    step = ceil(max(values.shape[:2]) / SAMPLED_PIXELS)
    sample = values[::step, ::step]
    if sample.ndim == 2:
        return float(float(sample.std()) >= LEAST_DEVIATION)
    brightest = sample.max(axis=2)
    chroma = brightest - sample.min(axis=2)
    tissue = ((chroma >= LEAST_CHROMA) | (brightest <= DARK)) & (brightest >= BLACK)
    return float(tissue.mean())


def estimate_tissue(regions: SlideRegions, grid: Grid, others: Sequence[SlideRegions]) -> NDArray[np.float64]:
    """Estimate the share of tissue of every patch of a grid over the level of `regions`, [rows, columns].

    It comes from the smallest level that shows each patch well enough, else from tiles spread over the level
    itself: the greatest share of any tile that overlaps the patch. Raises `DecodeError`.
    """
    usable = [one for one in (*others, regions) if _suits(one.level, regions.level, grid)]
    if not usable:
        return _estimate_by_tiles(regions, grid)
    overview = min(usable, key=lambda one: one.level.rows * one.level.columns)
    picture = overview.region(Region(0, 0, overview.level.rows, overview.level.columns)).values
    shrink = overview.level.rows / regions.level.rows, overview.level.columns / regions.level.columns
    shares = np.zeros((grid.rows, grid.columns))
    for patch in range(len(grid)):
        row, column = divmod(patch, grid.columns)
        down = slice(int(row * grid.side * shrink[0]), ceil((row + 1) * grid.side * shrink[0]))
        across = slice(int(column * grid.side * shrink[1]), ceil((column + 1) * grid.side * shrink[1]))
        shares[row, column] = tissue_share(picture[down, across])
    return shares


def _suits(overview: Level, level: Level, grid: Grid) -> bool:
    """Whether a level is small enough to decode whole, large enough to decide, and shows the same area."""
    if overview.rows * overview.columns > MAX_OVERVIEW_PIXELS:
        return False
    shrink = overview.rows / level.rows, overview.columns / level.columns
    same = overview.pyramid == level.pyramid or overview.thumbnail
    return same and min(shrink) * grid.side >= LEAST_OVERVIEW_SIDE and 0.95 < shrink[0] / shrink[1] < 1.05


def _estimate_by_tiles(regions: SlideRegions, grid: Grid) -> NDArray[np.float64]:
    level = regions.level
    shares = np.zeros((grid.rows, grid.columns))
    for index in _spread_tiles(level, grid):
        values = regions.tile(int(index)).values
        top, left = int(level.top[index]), int(level.left[index])
        for row in range(top // grid.side, (top + values.shape[0] - 1) // grid.side + 1):
            for column in range(left // grid.side, (left + values.shape[1] - 1) // grid.side + 1):
                first, start = row * grid.side - top, column * grid.side - left
                part = values[max(first, 0) : first + grid.side, max(start, 0) : start + grid.side]
                shares[row, column] = max(shares[row, column], tissue_share(part))
    return shares


def _spread_tiles(level: Level, grid: Grid) -> NDArray[np.int64]:
    """Indices of tiles on a lattice, two along each side of a patch if `MAX_SAMPLED_TILES` allow it."""
    down = max(grid.side // (2 * level.tile_rows), 1)
    across = max(grid.side // (2 * level.tile_columns), 1)
    while True:
        on_rows = level.top // level.tile_rows % down == 0
        chosen = np.flatnonzero(on_rows & (level.left // level.tile_columns % across == 0))
        if len(chosen) <= MAX_SAMPLED_TILES:
            return chosen
        down, across = down + 1, across + 1
