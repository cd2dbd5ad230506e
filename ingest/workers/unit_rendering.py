"""Rendering a unit in this process: its slices are decoded and rendered file by file; those that need the
percentiles of the whole series wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.grey_range import PERCENTILES
from medsiglip.ingest.dicom.transfer_syntaxes import UNCOMPRESSED
from medsiglip.ingest.files.source import hash_file
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.view import coded_view
from medsiglip.ingest.pixels.decode import decode_picture, frames, open_dataset, pixel_hash
from medsiglip.ingest.pixels.pixel_hash import PixelHash
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.render.attributes import AttributeReader, PixelAttributes
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.pixel_aspect import with_square_pixels
from medsiglip.ingest.render.reading import is_composite, rendered_to_read
from medsiglip.ingest.render.renderings import limits_percentiles, render
from medsiglip.ingest.units.plan import Slice, Unit
from medsiglip.ingest.units.rendered_image import Convert, FileOutcome, Keeping, RenderedImage, code_of

if TYPE_CHECKING:
    from medsiglip.ingest.volumes.volume_file import VolumeFile

# Starting a worker takes about half a second: up to so many files are rendered in this process, if that is
# safe.
FEW_FILES = 12
FEW_BYTES = 64 << 20
# Decoded slices of a series that are held until its percentiles are known; beyond this they are decoded a
# second time.
MAX_HELD_BYTES = 256 << 20
# Pixels of a slice that are counted if values are fractions, of which most occur once.
MAX_COUNTED_FRACTIONS = 1 << 16


# Slices with the same limits: a contrast of the series, and the percentiles that its rendering needs.
_Shared = tuple[int, tuple[float, float]]


@dataclass(slots=True)
class _Held:
    slice: Slice
    stored: NDArray[Any] | None
    attributes: PixelAttributes
    rendering: str | None


@dataclass(slots=True)
class _RenderedFile:
    pixel_hash: PixelHash
    images: list[RenderedImage] = field(default_factory=list)
    waiting: list[_Held] = field(default_factory=list)
    histograms: dict[_Shared, ValueHistogram] = field(default_factory=dict)
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


def render_images(unit: Unit, convert: Convert | None = None) -> Iterator[FileOutcome | RenderedImage]:
    """Yield one outcome for every file of the unit, and an image for every slice of the usable ones.

    `convert` turns display values into what is kept of them, such as model input; images that may be shown
    then come with a thumbnail. A file that fails at any frame gives no image at all. Never raises for what a
    file holds.
    """
    keeping = Keeping(unit, convert)
    if unit.patches is not None:
        from medsiglip.ingest.slides.patches import render_slide

        with quiet():
            yield from render_slide(unit, unit.patches, keeping)
        return
    by_file: dict[int, list[Slice]] = {}
    for item in unit.slices:
        by_file.setdefault(item.file, []).append(item)
    waiting: dict[int, _RenderedFile] = {}
    histograms: dict[_Shared, ValueHistogram] = {}
    budget = _Budget()
    with quiet():
        for file in range(len(unit.headers)):
            try:
                rendered = _render_file(unit, file, by_file.get(file, []), keeping, budget)
            except Exception as error:
                yield FileOutcome(file, None, code_of(error))
                continue
            if rendered.waiting:
                waiting[file] = rendered
            else:
                yield _outcome(file, rendered)
                yield from rendered.images
            for shared, histogram in rendered.histograms.items():
                histograms.setdefault(shared, ValueHistogram()).extend(histogram)
        limits = {shared: h.limits(shared[1]) for shared, h in histograms.items()}
        for file, rendered in waiting.items():
            try:
                images = [
                    _render_held(item, limits, keeping)
                    for item in _decoded(unit.headers[file], rendered.waiting)
                ]
            except Exception as error:
                yield FileOutcome(file, None, code_of(error))
                continue
            yield _outcome(file, rendered)
            yield from (*rendered.images, *images)


def _outcome(file: int, rendered: _RenderedFile) -> FileOutcome:
    value, older = rendered.pixel_hash
    return FileOutcome(file, value, quality=rendered.quality, older_hash=older)


class _Budget:
    """What is left of `MAX_HELD_BYTES`."""

    def __init__(self) -> None:
        self._left = MAX_HELD_BYTES

    def hold(self, item: _Held) -> _Held:
        """Drop the stored values if there is no room for them."""
        if item.stored is not None:
            self._left -= item.stored.nbytes
            if self._left < 0:
                item.stored = None
        return item


def _render_file(
    unit: Unit, file: int, slices: Sequence[Slice], keeping: Keeping, budget: _Budget
) -> _RenderedFile:
    header = unit.headers[file]
    if header.kind == "picture":
        picture = decode_picture(header.path)
        display = Display(picture.values, "picture", warnings=picture.warnings)
        images = [keeping.image(s, display) for s in slices]
        return _RenderedFile(PixelHash(hash_file(header.path)), images)
    opened = _open(header)
    rendered = _RenderedFile(opened.pixel_hash(older=unit.older_hashes), quality=opened.quality())
    for item, stored, attributes, rendering in opened.images(slices):
        percentiles = _percentiles(attributes, rendering) if unit.whole_series or len(slices) > 1 else None
        if percentiles is None or stored.ndim == 3:
            rendered.images.append(_image(_Held(item, stored, attributes, rendering), None, keeping))
            continue
        histogram = rendered.histograms.setdefault((item.contrast, percentiles), ValueHistogram())
        histogram.add(_counted(stored), attributes)
        rendered.waiting.append(budget.hold(_Held(item, stored, attributes, rendering)))
    return rendered


def _counted(stored: NDArray[Any]) -> NDArray[Any]:
    """The pixels that percentiles are taken from: all, or an even sample if most values are unique."""
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
    """The stored values of a DICOM file, with the attributes that rendering needs."""

    def __init__(self, header: Header) -> None:
        self._dataset = open_dataset(header.path)
        self._attributes = AttributeReader(self._dataset)
        self._header = header

    def pixel_hash(self, *, older: bool = False) -> PixelHash:
        return pixel_hash(self._dataset, older=older)

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
        """The tiles of a mosaic, without the blank ones that fill up its last row."""
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
    """The waiting slices of one file, decoded a second time if their values were not kept."""
    lost = [item.slice for item in held if item.stored is None]
    again = _open(header).images(lost) if lost else iter(())
    for item in held:
        if item.stored is None:
            item.stored = next(again)[1]
        yield item


def _render_held(
    item: _Held, limits: Mapping[_Shared, tuple[float, float]], keeping: Keeping
) -> RenderedImage:
    percentiles = _percentiles(item.attributes, item.rendering)
    image = _image(item, limits[item.slice.contrast, percentiles] if percentiles else None, keeping)
    item.stored = None
    return image


def _image(item: _Held, limits: tuple[float, float] | None, keeping: Keeping) -> RenderedImage:
    """The image of a slice, drawn with square pixels; `limits` become black and white where its rendering
    shares them with others.
    """
    stored, attributes = item.stored, item.attributes
    if stored is None:
        raise ValueError("a slice waits without its values")
    body_part = keeping.unit.headers[item.slice.file].body_part_examined
    composite = is_composite(stored, attributes, item.rendering)
    if composite and keeping.unit.drawing != "model":
        display = rendered_to_read(stored, attributes, body_part)
    else:
        display = render(stored, attributes, rendering=item.rendering, limits=limits)
    if limits and display.rendering.endswith("-percentile") and len(keeping.unit.slices) == 1:
        display = replace(display, warnings=(*display.warnings, "single-slice"))
    aspect = round(attributes.pixel_aspect, 4)
    values = with_square_pixels(display.values, attributes.pixel_aspect)
    if values is not display.values:
        display = replace(display, values=values, params={**display.params, "pixel_aspect": aspect})

    def read() -> NDArray[np.uint8]:
        shown = rendered_to_read(stored, attributes, body_part).values
        return with_square_pixels(shown, attributes.pixel_aspect)

    image = keeping.image(item.slice, display, read if composite and keeping.convert else None)
    if keeping.convert and aspect != 1.0:
        image = replace(image, quality={**image.quality, "pixel_aspect": aspect})
    return image


def is_small_and_safe(units: Sequence[Unit]) -> bool:
    """Whether there are few and small files, none of which needs a decoder in C, which a broken file could
    crash or keep busy for ever.
    """
    headers = [header for unit in units for header in unit.headers]
    return (
        len(headers) <= FEW_FILES
        and sum(header.size for header in headers) <= FEW_BYTES
        and all(header.transfer_syntax_uid in UNCOMPRESSED for header in headers)
    )
