"""Where in an image a text fits: what each patch adds to the cosine between the pooled image and the text.

The text is a direction, present against absent, as in zero-shot scores: what both sides have in common, such
as the kind of picture, drops out. The map is taken after the attention pooling and before the head's MLP:
there the vector is exactly the sum of the patches' parts. Taking the MLP along (integrated gradients from the
bias, Sundararajan et al., arXiv 1703.01365) finds fewer of the phantoms' lesions, as do the cosines of the
single tokens; `benchmarks/probes/why_localisation.py` measures all of them.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats, unit_vectors

_COARSE = 16
Moved = TypeVar("Moved", npt.NDArray[np.uint8], Floats)


class PatchEncoder(Protocol):
    """What encodes patches: `medsiglip.encoder.Encoder` and what stands for it."""

    image_size: int

    def encode_patches(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Parts and tokens [n, 2, patches, d] of model inputs, uint8 [n, S, S, 3]."""
        ...


def text_maps(
    encoder: PatchEncoder, images: npt.NDArray[np.uint8], direction: npt.NDArray[np.floating[Any]]
) -> Floats:
    """Maps [n, S, S], float64, of model inputs uint8 [n, S, S, 3] for a text's `direction` [d].

    Above zero where a patch turns the image's vector towards the text, below where it turns it away; the
    patches of one image add up to zero. Of models with fewer than 16 patches a side, the mean of four maps of
    the image moved by half a patch, for a lesion on the edge of a coarse patch is in neither.
    """
    size = encoder.image_size
    first = encoder.encode_patches(images)
    side = round(first.shape[2] ** 0.5)
    total = enlarged(patch_shares(first[:, 0], direction), size)
    if side >= _COARSE:
        return total
    half = size // side // 2
    moves = [(half, 0), (0, half), (half, half)]
    for down, right in moves:
        shares = patch_shares(encoder.encode_patches(moved(images, down, right))[:, 0], direction)
        total += moved(enlarged(shares, size), -down, -right)
    return total / (1 + len(moves))


def patch_shares(parts: npt.NDArray[np.floating[Any]], direction: npt.NDArray[np.floating[Any]]) -> Floats:
    """Shares [n, side, side] of the patches whose `parts` are [n, patches, d].

    To first order, what the cosine between the sum of the parts and `direction` loses without the patch: the
    part along the direction, less its part along the sum, which changes the length alone.
    """
    parts = np.asarray(parts, dtype=np.float64)
    pooled = parts.sum(axis=1)
    length = np.maximum(np.linalg.norm(pooled, axis=1), np.finfo(np.float64).tiny)
    unit = pooled / length[:, None]
    text = np.asarray(direction, dtype=np.float64)
    across = text - (unit @ text)[:, None] * unit
    shares = np.einsum("npd,nd->np", parts, across) / length[:, None]
    side = round(parts.shape[1] ** 0.5)
    return np.asarray(shares.reshape(-1, side, side))


def text_direction(present: npt.NDArray[np.floating[Any]], absent: npt.NDArray[np.floating[Any]]) -> Floats:
    """The direction [d] from the texts that deny a label to those that state it, each [n, d]: the difference
    of their unit-length means.
    """
    sides = unit_vectors(np.stack([np.mean(present, axis=0), np.mean(absent, axis=0)]))
    return np.asarray(sides[0] - sides[1])


def enlarged(maps: npt.NDArray[np.floating[Any]], size: int) -> Floats:
    """Maps [n, side, side] as [n, size, size], bilinear, with the value of a patch at its centre.

    Pixels beyond the last whole patch, which the model does not read, have the value of the nearest one.
    """
    side = maps.shape[1]
    patch = size // side
    place = np.clip((np.arange(size) + 0.5) / patch - 0.5, 0.0, side - 1.0)
    low = np.minimum(place.astype(np.intp), side - 2) if side > 1 else np.zeros(size, np.intp)
    weights = np.zeros((size, side))
    weights[np.arange(size), low] = 1.0 - (place - low)
    if side > 1:
        weights[np.arange(size), low + 1] += place - low
    return np.asarray(weights @ np.asarray(maps, dtype=np.float64) @ weights.T)


def moved(images: Moved, down: int, right: int) -> Moved:
    """Images [n, S, S, ...] moved by pixels; the edge is repeated where nothing comes in."""
    size = images.shape[1]
    rows = np.clip(np.arange(size) - down, 0, size - 1)
    columns = np.clip(np.arange(size) - right, 0, size - 1)
    return np.ascontiguousarray(images[:, rows][:, :, columns])
