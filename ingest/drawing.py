"""Drawing a unit: decode and render its slices, one file at a time, holding back no more than percentiles
need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.attributes import PixelAttributes, attributes_of
from ingest.decode import decode_picture, frames, open_dataset, pixel_hash
from ingest.errors import DecodeError
from ingest.header import Header
from ingest.plan import Slice, Unit
from ingest.render import Display, ValueHistogram, limits_percentiles, render
from ingest.scan import hash_file, quiet

_log = logging.getLogger(__name__)
# Decoded slices of a series that wait for its percentiles; beyond this they are decoded a second time
# instead.
MAX_HELD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of `Unit.headers[file]`: the hash of its pixels, or the code of `ingest.reasons` that
    rejects it.
    """

    file: int
    pixel_hash: str | None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image as a person would see it: display values uint8 [H, W] or [H, W, 3]."""

    slice: Slice
    display: Display


Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(slots=True)
class _Held:
    slice: Slice
    stored: NDArray[Any] | None
    attributes: PixelAttributes


@dataclass(slots=True)
class _DrawnFile:
    pixel_hash: str
    images: list[DrawnImage] = field(default_factory=list)
    waiting: list[_Held] = field(default_factory=list)
    histograms: dict[tuple[float, float], ValueHistogram] = field(default_factory=dict)


def draw(unit: Unit, convert: Convert | None = None) -> Iterator[FileOutcome | DrawnImage]:
    """Yield one outcome for every file of the unit, and an image for every slice of the files that can be
    drawn.

    `convert` turns display values into what is kept of them, such as model input. A file that fails at any
    frame gives no image at all. Never raises for what a file holds.
    """
    by_file: dict[int, list[Slice]] = {}
    for item in unit.slices:
        by_file.setdefault(item.file, []).append(item)
    waiting: dict[int, _DrawnFile] = {}
    histograms: dict[tuple[float, float], ValueHistogram] = {}
    with quiet():
        for file, header in enumerate(unit.headers):
            try:
                drawn = _draw_file(header, by_file.get(file, []), unit.whole_series, convert)
            except Exception as error:
                yield FileOutcome(file, None, _code_of(error))
                continue
            if drawn.waiting:
                _hold(drawn, waiting)
            else:
                yield FileOutcome(file, drawn.pixel_hash)
                yield from drawn.images
            for percentiles, histogram in drawn.histograms.items():
                histograms.setdefault(percentiles, ValueHistogram()).extend(histogram)
        limits = {p: h.limits(p) for p, h in histograms.items()}
        for file, drawn in waiting.items():
            try:
                images = [_draw_held(unit, item, limits, convert) for item in drawn.waiting]
            except Exception as error:
                yield FileOutcome(file, None, _code_of(error))
                continue
            yield FileOutcome(file, drawn.pixel_hash)
            yield from (*drawn.images, *images)


def _code_of(error: Exception) -> str:
    if isinstance(error, DecodeError):
        return error.code
    _log.warning("a file could not be drawn: %s", type(error).__name__)  # its message may quote the file
    return "undecodable-pixels"


def _draw_file(
    header: Header, slices: Sequence[Slice], whole_series: bool, convert: Convert | None
) -> _DrawnFile:
    if header.kind == "picture":
        display = Display(decode_picture(header.path), "picture")
        images = [_finished(s, display, convert) for s in slices]
        return _DrawnFile(hash_file(header.path), images)
    dataset = open_dataset(header.path)
    drawn = _DrawnFile(pixel_hash(dataset))
    for item, stored in zip(slices, frames(dataset, [s.frame for s in slices]), strict=True):
        attributes = _attributes(dataset, item.frame, stored)
        percentiles = limits_percentiles(attributes) if whole_series or len(slices) > 1 else None
        if percentiles is None or stored.ndim == 3:
            drawn.images.append(_finished(item, render(stored, attributes), convert))
            continue
        drawn.histograms.setdefault(percentiles, ValueHistogram()).add(stored, attributes)
        drawn.waiting.append(_Held(item, stored, attributes))
    return drawn


def _hold(drawn: _DrawnFile, waiting: dict[int, _DrawnFile]) -> None:
    held = (item for other in waiting.values() for item in other.waiting)
    size = sum(item.stored.nbytes for item in held if item.stored is not None)
    for item in drawn.waiting:
        size += item.stored.nbytes if item.stored is not None else 0
        if size > MAX_HELD_BYTES:
            item.stored = None
    waiting[drawn.waiting[0].slice.file] = drawn


def _draw_held(
    unit: Unit,
    item: _Held,
    limits: Mapping[tuple[float, float], tuple[float, float]],
    convert: Convert | None,
) -> DrawnImage:
    stored = item.stored
    if stored is None:
        dataset = open_dataset(unit.headers[item.slice.file].path)
        stored = next(frames(dataset, [item.slice.frame]))
    percentiles = limits_percentiles(item.attributes)
    shared = limits[percentiles] if percentiles else None
    display = render(stored, item.attributes, limits=shared)
    item.stored = None
    if display.rendering.endswith("-percentile") and len(unit.slices) == 1:
        display = replace(display, warnings=(*display.warnings, "single-slice"))
    return _finished(item.slice, display, convert)


def _finished(item: Slice, display: Display, convert: Convert | None) -> DrawnImage:
    values = display.values
    warnings = display.warnings
    if int(values.min()) == int(values.max()):
        warnings = (*warnings, "blank")
    return DrawnImage(
        item, replace(display, values=convert(values) if convert else values, warnings=warnings)
    )


def _attributes(dataset: Any, frame: int, stored: NDArray[Any]) -> PixelAttributes:
    try:
        return attributes_of(dataset, frame)
    except Exception:  # malformed attributes beside sound pixels: drawn by their full range
        return PixelAttributes(bits_stored=8 * stored.dtype.itemsize)
