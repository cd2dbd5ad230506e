"""The result of rendering a unit: the outcome of each file, and its images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.header.burned_in import may_preview
from medsiglip.ingest.header.quality import measure
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.thumbnail import thumbnail
from medsiglip.ingest.units.plan import Slice

if TYPE_CHECKING:
    from medsiglip.ingest.units.plan import Unit

_log = logging.getLogger(__name__)

Convert = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
_NOTHING = np.zeros(0, np.uint8)


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
    was measured on the display values, only if they were converted. `thumbnail` is a JPEG of an image that
    may be shown, where thumbnails are made, else empty.
    """

    slice: Slice
    display: Display
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of the images of a unit: their display values, or what `convert` makes of them, such as
    model inputs, with a thumbnail of each that may be shown; of a unit drawn as thumbnails, these alone.
    """

    unit: Unit
    convert: Convert | None = None

    def keeps_thumbnail(self, item: Slice) -> bool:
        """Whether there is to be a thumbnail of a slice."""
        asked = self.convert is not None or self.unit.drawing == "thumbnail"
        return asked and may_preview(self.unit.headers[item.file].quality)

    def image(
        self, item: Slice, display: Display, shown: Callable[[], NDArray[np.uint8]] | None = None
    ) -> RenderedImage:
        """The image of a slice, with its warnings; measured and converted if that is asked for. `shown`
        returns what a thumbnail is made of, where that is not the display values.
        """
        values, convert = display.values, self.convert
        quality = measure(values) if convert else {}
        is_blank = quality["blank"] if convert else int(values.min()) == int(values.max())
        warnings = (*item.warnings, *display.warnings, *(("blank",) if is_blank else ()))
        small = b""
        if self.keeps_thumbnail(item):
            small = thumbnail(values if shown is None else shown())
        if convert is not None:
            kept = convert(values)
        else:
            kept = _NOTHING if self.unit.drawing == "thumbnail" else values
        return RenderedImage(item, replace(display, values=kept, warnings=warnings), quality, small)


def code_of(error: Exception) -> str:
    """The code of `medsiglip.ingest.reasons` for an error of decoding or rendering."""
    if isinstance(error, DecodeError):
        return error.code
    if isinstance(error, MemoryError):
        return "decoder-memory"
    _log.warning("a file could not be rendered: %s", type(error).__name__)  # its message may quote the file
    return "undecodable-pixels"
