"""The way of a picture from the scanner to the model, with a plausible change at each stage.

CoDA ("Chain-of-Distribution Attacks and Post-Hoc Token-Space Repair for Medical Vision-Language Models",
arXiv 2603.18545, March 2026) composes shading as of the acquisition, remapping by reconstruction and display,
and degradation by delivery and export, and reports that chains harm zero-shot scores more than any stage
alone. This follows its stages. It is not its attack: there, stages and parameters are optimised against the
model within a bound of masked structural similarity; here they are drawn at random within the limits below,
which are our own choice, so that the figures say what is usual and not what is worst.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from medsiglip.shifts.alterations import Alteration, Change, Pixels, gamma, jpeg, rounded, window


def acquisition(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Smooth shading of up to 25 % (a coil's sensitivity, the heel effect), and grain that grows with the
    square root of the signal.
    """
    height, width = pixels.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([x, y, x * y, x**2 - y**2])
    field = np.tensordot(rng.uniform(-1, 1, len(terms)), terms, axes=1)
    shaded = pixels / 255.0 * (1 + 0.25 * field / max(float(np.abs(field).max()), 1e-9))[:, :, None]
    grain: NDArray[np.float64] = rng.standard_normal((height, width, 1))
    return rounded(255 * (shaded + 0.015 * np.sqrt(np.maximum(shaded, 0)) * grain))


def reconstruction(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A softer or a sharper kernel."""
    picture = Image.fromarray(pixels)
    side = max(pixels.shape[:2])
    radius = side * float(rng.uniform(0.001, 0.003))
    if rng.random() < 0.5:
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.uint8)
    percent = int(rng.uniform(50, 120))
    return np.asarray(picture.filter(ImageFilter.UnsharpMask(radius, percent, 0)), np.uint8)


def display(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Another window and another tone curve."""
    wide = window(float(rng.uniform(0.8, 1.25)), float(rng.uniform(-0.05, 0.05)))
    return gamma(float(rng.uniform(0.8, 1.25)))(wide(pixels, rng), rng)


def delivery(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Made smaller, compressed as JPEG, and enlarged again."""
    height, width = pixels.shape[:2]
    share = float(rng.uniform(0.5, 0.8))
    smaller = max(1, round(share * width)), max(1, round(share * height))
    small = np.asarray(Image.fromarray(pixels).resize(smaller, Image.Resampling.BILINEAR), np.uint8)
    sent = jpeg(int(rng.uniform(40, 75)))(small, rng)
    return np.asarray(Image.fromarray(sent).resize((width, height), Image.Resampling.BILINEAR), np.uint8)


_STAGES: tuple[tuple[str, str, Change], ...] = (
    ("acquisition", "shading of up to 25 % and grain", acquisition),
    ("reconstruction", "a softer or sharper kernel", reconstruction),
    ("display", "another window and tone curve", display),
    ("delivery", "made smaller, JPEG of quality 40 to 75, enlarged", delivery),
)


def _through(stages: Sequence[Change]) -> Change:
    def changed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        for stage in stages:
            pixels = stage(pixels, rng)
        return pixels

    return changed


CHAIN = tuple(
    Alteration(
        f"chain-{number}-{name}",
        f"{'after the stages before: ' if number > 1 else ''}{description}",
        _through([change for _, _, change in _STAGES[:number]]),
    )
    for number, (name, description, _) in enumerate(_STAGES, start=1)
)
"""The four stages one after the other: each entry ends one stage later than the one before."""
