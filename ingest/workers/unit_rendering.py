"""Drawing a unit: decode and render its slices, one file at a time, holding back no more than percentiles
need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.quality import measure
from medsiglip.ingest.header.view import coded_view
from medsiglip.ingest.pixels.decode import decode_picture, frames, open_dataset, pixel_hash
from medsiglip.ingest.render.attributes import AttributeReader, PixelAttributes
from medsiglip.ingest.render.histogram import PERCENTILES, ValueHistogram
from medsiglip.ingest.render.render import Display, limits_percentiles, render
from medsiglip.ingest.scan.scan import hash_file, quiet
from medsiglip.ingest.units.plan import Slice, Unit

if TYPE_CHECKING:
    from medsiglip.ingest.volumes.volume_file import VolumeFile

_log = logging.getLogger(__name__)
# Decoded slices of a series that wait for its percentiles; beyond this they are decoded a second time
# instead.
MAX_HELD_BYTES = 256 << 20
# Pixels of a slice that are counted where values have fractions: most are the only one of their value.
MAX_COUNTED_FRACTIONS = 1 << 16


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of `Unit.headers[file]`: the hash of its pixels, or the code of `medsiglip.ingest.reasons`
    that rejects it; `quality` is what the whole data set tells beyond the header.
    """

    file: int
    pixel_hash: str | None
    code: str | None = None
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image as a person would see it: display values uint8 [H, W] or [H, W, 3], and, where they are
    converted to something else, what was measured on them.
    """

    slice: Slice
    display: Display
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


# What shares its limits: a contrast of the series, and the percentiles that its rendering asks for.
_Shared = tuple[int, tuple[float, float]]


@dataclass(slots=True)
class _Held:
    slice: Slice
    stored: NDArray[Any] | None
    attributes: PixelAttributes
    rendering: str | None


@dataclass(slots=True)
class _DrawnFile:
    pixel_hash: str
    images: list[DrawnImage] = field(default_factory=list)
    waiting: list[_Held] = field(default_factory=list)
    histograms: dict[_Shared, ValueHistogram] = field(default_factory=dict)
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


def draw(unit: Unit, convert: Convert | None = None) -> Iterator[FileOutcome | DrawnImage]:
    """Yield one outcome for every file of the unit, and an image for every slice of the files that can be
    drawn.

    `convert` turns display values into what is kept of them, such as model input. A file that fails at any
    frame gives no image at all. Never raises for what a file holds.
    """
    if unit.patches is not None:
        from medsiglip.ingest.slides.slide_rendering import draw_slide

        with quiet():
            yield from draw_slide(unit, unit.patches, convert)
        return
    by_file: dict[int, list[Slice]] = {}
    for item in unit.slices:
        by_file.setdefault(item.file, []).append(item)
    waiting: dict[int, _DrawnFile] = {}
    histograms: dict[_Shared, ValueHistogram] = {}
    budget = _Budget()
    with quiet():
        for file, header in enumerate(unit.headers):
            try:
                drawn = _draw_file(header, by_file.get(file, []), unit.whole_series, convert, budget)
            except Exception as error:
                yield FileOutcome(file, None, _code_of(error))
                continue
            if drawn.waiting:
                waiting[file] = drawn
            else:
                yield FileOutcome(file, drawn.pixel_hash, quality=drawn.quality)
                yield from drawn.images
            for shared, histogram in drawn.histograms.items():
                histograms.setdefault(shared, ValueHistogram()).extend(histogram)
        limits = {shared: h.limits(shared[1]) for shared, h in histograms.items()}
        for file, drawn in waiting.items():
            try:
                images = [
                    _draw_held(unit, item, limits, convert)
                    for item in _decoded(unit.headers[file], drawn.waiting)
                ]
            except Exception as error:
                yield FileOutcome(file, None, _code_of(error))
                continue
            yield FileOutcome(file, drawn.pixel_hash, quality=drawn.quality)
            yield from (*drawn.images, *images)


def _code_of(error: Exception) -> str:
    if isinstance(error, DecodeError):
        return error.code
    if isinstance(error, MemoryError):
        return "decoder-memory"
    _log.warning("a file could not be drawn: %s", type(error).__name__)  # its message may quote the file
    return "undecodable-pixels"


class _Budget:
    """What is left of `MAX_HELD_BYTES`."""

    def __init__(self) -> None:
        self._left = MAX_HELD_BYTES

    def hold(self, item: _Held) -> _Held:
        """Forget the stored values if there is no room for them."""
        if item.stored is not None:
            self._left -= item.stored.nbytes
            if self._left < 0:
                item.stored = None
        return item


def _draw_file(
    header: Header, slices: Sequence[Slice], whole_series: bool, convert: Convert | None, budget: _Budget
) -> _DrawnFile:
    if header.kind == "picture":
        display = Display(decode_picture(header.path), "picture")
        images = [_finished(s, display, convert) for s in slices]
        return _DrawnFile(hash_file(header.path), images)
    opened = _open(header)
    drawn = _DrawnFile(opened.pixel_hash(), quality=opened.quality())
    for item, stored, attributes, rendering in opened.images(slices):
        percentiles = _percentiles(attributes, rendering) if whole_series or len(slices) > 1 else None
        if percentiles is None or stored.ndim == 3:
            drawn.images.append(_finished(item, render(stored, attributes, rendering=rendering), convert))
            continue
        histogram = drawn.histograms.setdefault((item.contrast, percentiles), ValueHistogram())
        histogram.add(_counted(stored), attributes)
        drawn.waiting.append(budget.hold(_Held(item, stored, attributes, rendering)))
    return drawn


def _counted(stored: NDArray[Any]) -> NDArray[Any]:
    """The pixels that percentiles are taken of: all, or an even part where most have a value of their own."""
    step = ceil(sqrt(stored.size / MAX_COUNTED_FRACTIONS)) if stored.dtype.kind == "f" else 1
    return stored[::step, ::step] if step > 1 else stored


def _percentiles(attributes: PixelAttributes, rendering: str | None) -> tuple[float, float] | None:
    return limits_percentiles(attributes) if rendering is None else PERCENTILES


def _open(header: Header) -> _DicomFile | VolumeFile:
    if header.kind == "volume":
        from medsiglip.ingest.volumes.volume_file import VolumeFile

        return VolumeFile(header)
    return _DicomFile(header)


class _DicomFile:
    """The stored values of a DICOM file, and what rendering needs to know of them."""

    def __init__(self, header: Header) -> None:
        self._dataset = open_dataset(header.path)
        self._attributes = AttributeReader(self._dataset)
        self._header = header

    def pixel_hash(self) -> str:
        return pixel_hash(self._dataset)

    def quality(self) -> Mapping[str, float | str | bool]:
        return coded_view(self._dataset, self._header.quality)

    def images(
        self, slices: Sequence[Slice]
    ) -> Iterator[tuple[Slice, NDArray[Any], PixelAttributes, str | None]]:
        if self._header.tiles:
            yield from self._tiles(slices)
            return
        for item, stored in zip(slices, frames(self._dataset, [s.frame for s in slices]), strict=True):
            yield item, stored, self._attributes.frame(item.frame), None

    def _tiles(
        self, slices: Sequence[Slice]
    ) -> Iterator[tuple[Slice, NDArray[Any], PixelAttributes, str | None]]:
        """The tiles of a mosaic; blank ones, with which the last row is filled up, are left out."""
        mosaic = next(frames(self._dataset, [0]))
        attributes = self._attributes.frame(0)
        all_blank = not mosaic.any()
        for item in slices:
            place = item.region
            if place is None:
                yield item, mosaic, attributes, None
                continue
            tile = mosaic[place.row : place.row + place.height, place.column : place.column + place.width]
            if all_blank or tile.any():
                yield item, np.ascontiguousarray(tile), attributes, None


def _decoded(header: Header, held: Sequence[_Held]) -> Iterator[_Held]:
    """What waits of one file, decoded a second time where its values were not kept."""
    lost = [item.slice for item in held if item.stored is None]
    again = _open(header).images(lost) if lost else iter(())
    for item in held:
        if item.stored is None:
            item.stored = next(again)[1]
        yield item


def _draw_held(
    unit: Unit,
    item: _Held,
    limits: Mapping[_Shared, tuple[float, float]],
    convert: Convert | None,
) -> DrawnImage:
    stored, item.stored = item.stored, None
    if stored is None:
        raise ValueError("a slice waits without its values")
    percentiles = _percentiles(item.attributes, item.rendering)
    shared = limits[item.slice.contrast, percentiles] if percentiles else None
    display = render(stored, item.attributes, rendering=item.rendering, limits=shared)
    if display.rendering.endswith("-percentile") and len(unit.slices) == 1:
        display = replace(display, warnings=(*display.warnings, "single-slice"))
    return _finished(item.slice, display, convert)


def _finished(item: Slice, display: Display, convert: Convert | None) -> DrawnImage:
    values = display.values
    quality = measure(values) if convert else {}
    is_blank = quality["blank"] if convert else int(values.min()) == int(values.max())
    warnings = (*item.warnings, *display.warnings, *(("blank",) if is_blank else ()))
    return DrawnImage(
        item, replace(display, values=convert(values) if convert else values, warnings=warnings), quality
    )
