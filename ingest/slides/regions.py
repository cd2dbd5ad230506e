"""Rectangles of one level of a slide as display values, assembled from its tiles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.render.attributes import PixelAttributes, attributes_of
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.renderings import limits_percentiles, render
from medsiglip.ingest.slides.levels import Level
from medsiglip.ingest.slides.tiles import TileFile
from medsiglip.ingest.units.plan import Region
from medsiglip.ingest.units.sampling import sample_evenly

MAX_CACHED_BYTES = 64 << 20
# Grey tiles of more than 8 bits without a window share black and white: the extremes of so many tiles.
LIMIT_TILES = 64


class SlideRegions:
    """Renders regions of a level; decoded tiles are kept, up to `MAX_CACHED_BYTES`, while neighbours are
    rendered.

    Methods raise `DecodeError`; `failed` is then the number of the failing file.
    """

    def __init__(self, level: Level, files: Mapping[int, TileFile]) -> None:
        self.level = level
        self.failed: int | None = None
        self._files = files
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0
        self._attributes: PixelAttributes | None = None
        self._limits: tuple[float, float] | None = None
        self._absent: Any = 0

    def tile(self, index: int) -> Display:
        """One tile, cropped to the matrix."""
        top, left = int(self.level.top[index]), int(self.level.left[index])
        height = min(self.level.tile_rows, self.level.rows - top)
        width = min(self.level.tile_columns, self.level.columns - left)
        return self._display(self._stored(index)[:height, :width])

    def region(self, region: Region) -> Display:
        """A rectangle of the total pixel matrix; it is glass where there is no tile, and beyond the edge."""
        level = self.level
        self._prepare()
        like = self._stored(0)
        canvas = np.full((region.height, region.width, *like.shape[2:]), self._absent, like.dtype)
        for index in level.tiles_in(region):
            stored = self._stored(int(index))
            top, left = int(level.top[index]), int(level.left[index])
            # Tiles at the edges of the matrix are padded up to the size of the others (PS3.3 C.8.12.4.1.1).
            bottom = min(top + stored.shape[0], level.rows, region.row + region.height)
            right = min(left + stored.shape[1], level.columns, region.column + region.width)
            first, start = max(top, region.row), max(left, region.column)
            canvas[
                first - region.row : bottom - region.row, start - region.column : right - region.column
            ] = stored[first - top : bottom - top, start - left : right - left]
        return self._display(canvas)

    def _display(self, stored: NDArray[Any]) -> Display:
        return render(stored, self._prepare(), limits=self._limits)

    def _prepare(self) -> PixelAttributes:
        """Find the attributes, the limits and the value of glass, from the header and some tiles."""
        if self._attributes is not None:
            return self._attributes
        header = self._files[self.level.files[0]].header
        first = self._stored(0)
        attributes = attributes_of(header)
        if first.ndim == 3:
            self._absent = min(2**attributes.bits_stored - 1, np.iinfo(first.dtype).max)
        else:
            self._absent = np.sort(first, axis=None)[first.size // 2]  # the corner of a slide is glass
            if limits_percentiles(attributes):
                histogram = ValueHistogram()
                for index in sample_evenly(len(self.level.top), LIMIT_TILES):
                    histogram.add(self._stored(index), attributes)
                self._limits = histogram.limits(limits_percentiles(attributes) or (0.0, 100.0))
        self._attributes = attributes
        return attributes

    def _stored(self, index: int) -> NDArray[Any]:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        number = int(self.level.file[index])
        try:
            stored = self._files[number].tile(int(self.level.frame[index]))
        except DecodeError:
            self.failed = number
            raise
        self._cache[index] = stored
        self._cached_bytes += stored.nbytes
        while self._cached_bytes > MAX_CACHED_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return stored
