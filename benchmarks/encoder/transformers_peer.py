"""Images per second of the encoder against transformers' `SiglipModel` as its documentation uses it.

That is float32 with eager attention; ours is bfloat16 where the processor has it. The same weights, the same
prepared pictures, one thread. Two layers of the full width stand for the 27, with the pooling head that
a model has once.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.encoder.wide_model import images, least_cosine, write_wide_model
from benchmarks.measure import Outcome, alternate
from benchmarks.results_file import has_bfloat16

TITLE = "encoder images/s, {precision} ÷ transformers SiglipModel, float32 eager, two So400m layers"
GUARD = "cosine at least 0.999"
IMAGES = 4


def measure(folder: Path, rounds: int) -> Outcome:
    import torch
    from transformers import SiglipModel

    from medsiglip.encoder import Encoder

    precision: Any = "bfloat16" if has_bfloat16() else "float32"
    title, goal = TITLE.format(precision=precision), 2.0 if precision == "bfloat16" else 1.1
    checkpoint, inputs = write_wide_model(folder / "model"), images(IMAGES)
    encoder = Encoder(checkpoint, device="cpu", precision=precision, batch_size=IMAGES)
    model: Any = SiglipModel.from_pretrained(str(checkpoint.folder), attn_implementation="eager")
    model.eval()
    pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 127.5 - 1.0

    def theirs() -> npt.NDArray[np.float32]:
        with torch.no_grad():
            found = model.get_image_features(pixel_values=pixels)
        features = getattr(found, "pooler_output", found)
        unit: npt.NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).numpy()
        return unit

    cosine = least_cosine(encoder.encode_images(inputs), theirs())
    if cosine < 0.999:
        return Outcome(title, goal, GUARD, IMAGES, failure=f"a cosine of {cosine:.5f}")
    times = alternate(lambda: encoder.encode_images(inputs), theirs, rounds)
    return Outcome(title, goal, GUARD, IMAGES, *times)
