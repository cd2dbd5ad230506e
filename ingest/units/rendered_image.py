"""The result of rendering a unit: the outcome of each file, and its images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.header.quality import measure
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.units.plan import Slice

_log = logging.getLogger(__name__)

Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """The outcome of `Unit.headers[file]`: the hash of its pixels, or the code of `medsiglip.ingest.reasons`
    for which it is rejected. `quality` is what the whole data set says beyond the header; `older_hash`
    is the hash of the same pixels in earlier versions, where the unit asks for it.
    """

    file: int
    pixel_hash: str | None
    code: str | None = None
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)
    older_hash: str | None = None


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """One image: display values uint8 [H, W] or [H, W, 3], or what they were converted to. `quality` is what
    was measured on the display values, only if they were converted.
    """

    slice: Slice
    display: Display
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)


def code_of(error: Exception) -> str:
    """The code of `medsiglip.ingest.reasons` for an error of decoding or rendering."""
    if isinstance(error, DecodeError):
        return error.code
    if isinstance(error, MemoryError):
        return "decoder-memory"
    _log.warning("a file could not be rendered: %s", type(error).__name__)  # its message may quote the file
    return "undecodable-pixels"


def image_of_slice(item: Slice, display: Display, convert: Convert | None) -> RenderedImage:
    """The image of a slice, with its warnings; measured and converted if `convert` is given."""
    values = display.values
    quality = measure(values) if convert else {}
    is_blank = quality["blank"] if convert else int(values.min()) == int(values.max())
    warnings = (*item.warnings, *display.warnings, *(("blank",) if is_blank else ()))
    return RenderedImage(
        item, replace(display, values=convert(values) if convert else values, warnings=warnings), quality
    )
