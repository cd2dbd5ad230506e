"""Pictures of maps and of correspondences, drawn over what they are about."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]

LONGEST_SIDE = 1024
_SHORTEST_SIDE = 384
_GAP = 12
# Colours of lines, told apart also by people who confuse red and green (Okabe and Ito, 2008).
_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))


def map_overlay(picture: Pixels, values: npt.NDArray[np.float64]) -> bytes:
    """A PNG of the picture, uint8 [H, W] or [H, W, 3], and beside it the same under the map `values` [h, w].

    Only what speaks for the text is coloured, from nothing through orange to yellow at the highest value; the
    brightest tenth of the map has an outline.
    """
    plain = _sized(picture)
    grey = np.asarray(plain.convert("L").convert("RGB"), dtype=np.float64)
    size = (plain.width, plain.height)
    field = _resized(values, size)
    highest = max(float(field.max()), np.finfo(np.float64).tiny)
    strength = np.clip(field / highest, 0.0, 1.0)[..., None]
    colour = np.concatenate(
        [np.full_like(strength, 255.0), 60.0 + 195.0 * strength, np.full_like(strength, 30.0)], axis=2
    )
    covered = 0.65 * strength
    drawn = grey * (1.0 - covered) + colour * covered
    drawn[_outline(brightest_tenth(field))] = (255.0, 255.0, 255.0)
    return _png(_beside(plain, Image.fromarray(np.clip(drawn, 0, 255).astype(np.uint8))))


def pair_overlay(
    first: Pixels,
    second: Pixels,
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]],
) -> bytes:
    """A PNG of two pictures, uint8 [H, W] or [H, W, 3], side by side with lines between places of the two,
    each (y, x) as fractions of the picture's height and width; both ends have the number of the line, from 1.
    """
    left, right = _sized(first), _sized(second)
    page = _beside(left, right)
    pencil = ImageDraw.Draw(page)
    offset = left.width + _GAP
    for number, ((y0, x0), (y1, x1)) in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        ends = [
            (x0 * left.width, y0 * left.height),
            (offset + x1 * right.width, y1 * right.height),
        ]
        pencil.line([*ends[0], *ends[1]], fill=colour, width=2)
        for x, y in ends:
            pencil.ellipse((x - 4, y - 4, x + 4, y + 4), outline=colour, width=2)
            number_at = (min(x + 6, page.width - 16), max(y - 14, 0))
            pencil.text(number_at, str(number + 1), fill=colour, stroke_width=1, stroke_fill=(0, 0, 0))
    return _png(page)


def brightest_tenth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which places of a map [h, w] have the highest tenth of its values."""
    return np.asarray(values >= np.quantile(values, 0.9))


def _sized(picture: Pixels) -> Image.Image:
    """The picture in colour, its longer side between the two limits."""
    image = Image.fromarray(picture).convert("RGB")
    longer = max(image.size)
    wanted = min(max(longer, _SHORTEST_SIDE), LONGEST_SIDE)
    if wanted == longer:
        return image
    size = [max(round(side * wanted / longer), 1) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def _resized(values: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    plane = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(plane, dtype=np.float64)


def _outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return np.asarray(mask & ~inner)


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    page = Image.new(
        "RGB", (left.width + _GAP + right.width, max(left.height, right.height)), (128, 128, 128)
    )
    page.paste(left, (0, 0))
    page.paste(right, (left.width + _GAP, 0))
    return page


def _png(page: Image.Image) -> bytes:
    written = io.BytesIO()
    page.save(written, "png")
    return written.getvalue()
