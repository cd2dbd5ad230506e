"""Single changes of a picture, each mild and strong: compression, grey levels, noise, place.

They change display values. A narrower window here is one of the picture that was drawn: what its own window
had cut off does not come back.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True, slots=True)
class Alteration:
    """A change with a name, what it does in words, and its function of a picture, uint8 [H, W, 3], and a
    source of chance. The result has the same shape.
    """

    name: str
    description: str
    change: Change


def jpeg(quality: int) -> Change:
    """Lossy compression, as in an export (quality of libjpeg, 1 to 95)."""

    def changed(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, "jpeg", quality=quality)
        return np.asarray(Image.open(written).convert("RGB"), np.uint8)

    return changed


def gamma(exponent: float) -> Change:
    """Another tone curve; above 1 mid greys are darker."""
    table = np.round(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return lambda pixels, _rng: table[pixels]


def noise(sigma: float) -> Change:
    """White noise of `sigma` grey levels of 255, the same in all channels of a grey picture."""

    def changed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        grey = bool((pixels == pixels[:, :, :1]).all())
        grain = rng.standard_normal((*pixels.shape[:2], 1 if grey else 3))
        return rounded(pixels + sigma * grain)

    return changed


def rotation(degrees: float) -> Change:
    """Turned about the middle, by this much to either side; corners are black."""

    def changed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        turned = Image.fromarray(pixels).rotate(
            float(rng.choice([-degrees, degrees])), Image.Resampling.BILINEAR
        )
        return np.asarray(turned, np.uint8)

    return changed


def window(width: float, level: float = 0.0) -> Change:
    """Another window of the drawn picture: `width` times as wide, its middle up by `level` of the range."""

    def changed(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
        return rounded((pixels / 255.0 - 0.5 - level) / width * 255 + 127.5)

    return changed


def crop(share: float) -> Change:
    """This share of each side is cut off, and the rest enlarged to the former size."""

    def changed(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        rows, columns = int(share * height), int(share * width)
        inner = Image.fromarray(pixels[rows : max(height - rows, 1), columns : max(width - columns, 1)])
        return np.asarray(inner.resize((width, height), Image.Resampling.BICUBIC), np.uint8)

    return changed


def rounded(values: NDArray[np.floating]) -> Pixels:
    """Grey levels as whole numbers from 0 to 255."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


ALTERATIONS = (
    Alteration("jpeg", "JPEG of quality 50", jpeg(50)),
    Alteration("jpeg-strong", "JPEG of quality 15", jpeg(15)),
    Alteration("gamma-dark", "tone curve with an exponent of 1.4", gamma(1.4)),
    Alteration("gamma-bright", "tone curve with an exponent of 0.7", gamma(0.7)),
    Alteration("noise", "white noise of 5 grey levels of 255", noise(5)),
    Alteration("noise-strong", "white noise of 20 grey levels of 255", noise(20)),
    Alteration("rotation", "turned by 5 degrees", rotation(5)),
    Alteration("rotation-strong", "turned by 15 degrees", rotation(15)),
    Alteration("window-narrow", "0.7 times the window, its middle up by 5 %", window(0.7, 0.05)),
    Alteration("window-wide", "1.4 times the window", window(1.4)),
    Alteration("crop", "5 % cut off each side", crop(0.05)),
    Alteration("crop-strong", "15 % cut off each side", crop(0.15)),
)
"""The changes that `evaluate robustness` makes one at a time."""
