"""FLOP/s of the image encoder against those of matrix products alone, in bfloat16 where the processor has it.

The peer is the fastest of a square product and of the product that the model has most of (its MLP), so that
the ratio is what is lost to attention, normalisation, activation and the way of the data. One thread.
"""

from pathlib import Path
from typing import Any

from benchmarks.encoder.wide_model import images, least_cosine, matrix_flops, write_wide_model
from benchmarks.measure import Outcome, alternate, timed
from benchmarks.results_file import has_bfloat16

TITLE = "encoder FLOP/s ÷ matrix-product FLOP/s, {precision}, two So400m layers at 1024 tokens"
GOAL = 0.8
GUARD = "cosine at least 0.999 to float32"
IMAGES = 4
_SQUARE = 2048


def measure(folder: Path, rounds: int) -> Outcome:
    import torch

    from medsiglip.encoder import Encoder

    precision: Any = "bfloat16" if has_bfloat16() else "float32"
    checkpoint, inputs = write_wide_model(folder / "model"), images(IMAGES)
    title = TITLE.format(precision=precision)
    encoder = Encoder(checkpoint, device="cpu", precision=precision, batch_size=IMAGES)
    exact = Encoder(checkpoint, device="cpu", batch_size=IMAGES).encode_images(inputs)
    cosine = least_cosine(encoder.encode_images(inputs), exact)
    if cosine < 0.999:
        return Outcome(title, GOAL, GUARD, IMAGES, failure=f"a cosine of {cosine:.5f}")
    flops = IMAGES * matrix_flops(checkpoint.architecture)
    dtype = getattr(torch, precision)
    wide = checkpoint.architecture.vision
    rows = IMAGES * checkpoint.architecture.patches
    shapes = [(_SQUARE, _SQUARE, _SQUARE), (rows, wide.width, wide.mlp_width)]
    pairs = [(torch.randn(n, k, dtype=dtype), torch.randn(k, m, dtype=dtype)) for n, k, m in shapes]

    def rate(number: int) -> float:
        n, k, m = shapes[number]
        torch.mm(*pairs[number])
        return 2 * n * k * m / min(timed(lambda: torch.mm(*pairs[number]))[0] for _ in range(3))

    best = max(range(len(shapes)), key=rate)
    n, k, m = shapes[best]
    repeated = max(round(flops / (2 * n * k * m)), 1)

    def products() -> None:
        for _ in range(repeated):
            torch.mm(*pairs[best])

    ours, peer = alternate(lambda: encoder.encode_images(inputs), products, rounds)
    share = flops / (repeated * 2 * n * k * m)
    return Outcome(title, GOAL, GUARD, IMAGES, ours, [seconds * share for seconds in peer])
