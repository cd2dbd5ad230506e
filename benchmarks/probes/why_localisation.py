"""Maps of a text and correspondences of patches, compared with others on phantoms of known lesions.

Run as `python -m benchmarks.probes.why_localisation`, which writes `benchmarks/results/why-localisation.csv`.
The map was chosen on phantoms of the first seed; the model's answers state the figures of the second.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.model import SiglipTowers, load_model
from medsiglip.patches.correspondences import mutual_nearest
from medsiglip.patches.pooled_parts import pooled_parts
from medsiglip.patches.text_map import enlarged, patch_shares, text_maps
from medsiglip.phantoms.catalogue import plan_studies
from medsiglip.phantoms.checkpoint.localisation import (
    ANATOMIES,
    SEED,
    Lesion,
    find_lesion,
    finding_direction,
    is_in_brightest_tenth,
)

DEVELOPMENT_SEED = 710_001
STUDIES = 300
RESULTS = Path(__file__).parents[1] / "results" / "why-localisation.csv"
_STEPS = 16


def main() -> None:
    """Measure every map on both seeds, and the correspondences."""
    encoder = Encoder(open_checkpoint("tiny"), device="cpu")
    towers = load_model(encoder.checkpoint)
    rows = []
    for seed in (DEVELOPMENT_SEED, SEED):
        plans = plan_studies(STUDIES, seed, list(ANATOMIES))
        lesions = [one for plan in plans for one in find_lesion(plan, encoder.image_size, encoder.profile)]
        for name, found in measured_maps(encoder, towers, lesions).items():
            rows.append(("map", name, seed, len(found), float(found.mean())))
        for name, share, pairs in measured_pairs(encoder, lesions):
            rows.append(("correspondence", name, seed, pairs, share))
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "method", "seed", "n", "share"])
        writer.writerows((*row[:4], f"{row[4]:.4f}") for row in rows)
    for row in rows:
        print(*row)


def measured_maps(
    encoder: Encoder, towers: SiglipTowers, lesions: list[Lesion]
) -> dict[str, NDArray[np.bool_]]:
    """Whether each lesion lies in the brightest tenth, by map."""
    found: dict[str, list[bool]] = {}
    directions = {name: finding_direction(encoder, name) for name in {one.finding for one in lesions}}
    for lesion in lesions:
        direction = directions[lesion.finding]
        ours = text_maps(encoder, lesion.picture[None], direction)[0]
        found.setdefault("parts across the vector, four moved images (ours)", []).append(
            is_in_brightest_tenth(ours, lesion)
        )
        pixels = torch.from_numpy(lesion.picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        for name, shares in other_maps(towers, pixels, direction).items():
            values = enlarged(shares[None], encoder.image_size)[0]
            found.setdefault(name, []).append(is_in_brightest_tenth(values, lesion))
    return {name: np.array(hits) for name, hits in found.items()}


def other_maps(
    towers: SiglipTowers, pixels: Tensor, direction: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Maps [side, side] of one image, each by one pass through the model."""
    pool = towers.visual.attn_pool
    text = torch.from_numpy(direction).float()

    def head(pooled: Tensor) -> Tensor:
        out: Tensor = pooled + pool.mlp(pool.norm(pooled))
        return out

    with torch.no_grad():
        parts, tokens = pooled_parts(towers, pixels)[0]
        values = pool.kv(tokens)[:, tokens.shape[1] :]
        alone = torch.nn.functional.normalize(head(pool.proj(values)), dim=-1)
    maps = {
        "parts across the vector": torch.from_numpy(patch_shares(parts[None].numpy(), direction)[0].ravel()),
        "parts along the text": parts @ text,
        "length of the parts (no text)": parts.norm(dim=-1),
        "cosine of each patch pooled alone": alone @ text,
        "cosine of tokens": torch.nn.functional.normalize(tokens, dim=-1) @ text,
        "parts with the MLP (integrated gradients)": parts @ _gradient(head, parts, text),
    }
    side = round(len(tokens) ** 0.5)
    return {name: one.double().numpy().reshape(side, side) for name, one in maps.items()}


def _gradient(head: Callable[[Tensor], Tensor], parts: Tensor, text: Tensor) -> Tensor:
    """The mean gradient [d] of the head's product with the text, on the way from nothing to the sum."""
    total = torch.zeros(parts.shape[1])
    for step in range(_STEPS):
        at = (parts.sum(dim=0) * ((step + 0.5) / _STEPS)).requires_grad_(True)
        [gradient] = torch.autograd.grad(head(at[None])[0] @ text, [at])
        total += gradient / _STEPS
    return total


def measured_pairs(encoder: Encoder, lesions: list[Lesion]) -> list[tuple[str, float, int]]:
    """Of mutually nearest patches of a picture and of itself turned, enlarged and moved, the share whose
    places are a patch apart at most; and the same of patches at the same place of both.
    """
    rng = np.random.default_rng(1)
    near: list[bool] = []
    same_place: list[bool] = []
    for lesion in lesions[:100]:
        turned, place = _turned(lesion.picture, rng)
        tokens = encoder.encode_patches(np.stack([lesion.picture, turned]))[:, 1]
        side = round(tokens.shape[1] ** 0.5)
        drawn = turned.reshape(side, len(turned) // side, side, -1).max(axis=(1, 3)).ravel() > 8
        for pair in mutual_nearest(tokens[0], tokens[1], usable=(np.ones(side * side, bool), drawn)):
            row, column = place((pair.second[0] + 0.5) / side, (pair.second[1] + 0.5) / side)
            if not (0 <= row < 1 and 0 <= column < 1):
                continue
            near.append(_apart(pair.first, (row, column), side) <= 1.04)
            same_place.append(_apart(pair.second, (row, column), side) <= 1.04)
    return [
        ("tokens, mutually nearest (ours)", float(np.mean(near)), len(near)),
        ("the same place", float(np.mean(same_place)), len(same_place)),
    ]


def _apart(patch: tuple[int, int], place: tuple[float, float], side: int) -> float:
    return max(abs(patch[0] + 0.5 - place[0] * side), abs(patch[1] + 0.5 - place[1] * side))


def _turned(
    picture: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Callable[[float, float], tuple[float, float]]]:
    """The picture turned by up to 15 degrees, scaled by up to 12 % and moved by a fifth to a third of its
    side, and where a place of it, as fractions, comes from.
    """
    from scipy import ndimage

    angle, scale = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(0.88, 1.12)
    course = rng.uniform(0, 2 * np.pi)
    move = rng.uniform(0.2, 0.33) * np.array([np.sin(course), np.cos(course)])
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = len(picture)

    def place(row: float, column: float) -> tuple[float, float]:
        y, x = matrix @ (np.array([row, column]) - 0.5) + 0.5 + move
        return float(y), float(x)

    corner = np.array(place(0.5 / size, 0.5 / size)) * size - 0.5
    planes = [ndimage.affine_transform(picture[..., i], matrix, corner, order=1) for i in range(3)]
    return np.stack(planes, axis=-1), place


if __name__ == "__main__":
    main()
