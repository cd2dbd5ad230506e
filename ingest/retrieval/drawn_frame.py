"""One frame as a picture for a screen: grey values by the window of the file or of the question."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medsiglip.ingest.render.attributes import AttributeReader, Window
from medsiglip.ingest.render.pixel_aspect import with_square_pixels
from medsiglip.ingest.render.renderings import render
from medsiglip.ingest.retrieval.frame_source import FrameSource

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a frame is drawn: into at most `width` x `height` pixels, None for its own size; by a window other
    than the file's, with a function of PS3.3 C.11.2.1.3; as `media_type`, a JPEG of `quality` 1 to 100.
    """

    media_type: str = "image/jpeg"
    width: int | None = None
    height: int | None = None
    window: tuple[float, float, str] | None = None
    quality: int = 90


def drawn(source: FrameSource, frame: int, drawing: Drawing) -> bytes:
    """The picture of a frame, counted from 0; MR and all else without a window by percentiles of the frame.

    Raises `DecodeError`.
    """
    from PIL import Image

    attributes = AttributeReader(source.header).frame(frame)
    stored = source.decoded(frame)
    if drawing.window is not None:
        center, width, function = drawing.window
        chosen = (Window(center, width),)
        attributes = replace(attributes, voi_lut=None, windows=chosen, voi_lut_function=function)
    grey = stored.ndim == 2 and attributes.palette is None and not attributes.supplemental
    display = render(stored, attributes, rendering="voi" if grey else None)
    picture = Image.fromarray(with_square_pixels(display.values, attributes.pixel_aspect))
    written = io.BytesIO()
    _fitted(picture, drawing).save(written, FORMATS[drawing.media_type], quality=drawing.quality)
    return written.getvalue()


def _fitted(picture: Image, drawing: Drawing) -> Image:
    """The picture within the asked size, in its own proportions (PS3.18 8.3.5.1.3)."""
    from PIL import Image

    if drawing.width is None and drawing.height is None:
        return picture
    scale = min(
        (drawing.width or 1 << 16) / picture.width,
        (drawing.height or 1 << 16) / picture.height,
    )
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BILINEAR)
