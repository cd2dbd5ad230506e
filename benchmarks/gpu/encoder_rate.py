"""The image tower in bfloat16, in batches and alone, against matrix products and against transformers."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu.limits import Machine, products
from benchmarks.measure import Outcome, alternate
from benchmarks.random_checkpoint import write_random
from medsiglip.architecture import Tower
from medsiglip.checkpoint import Checkpoint
from medsiglip.encoder import Encoder

GUARD = "cosine of at least 0.999 with float32, on every image"
# Sizes of MedSigLIP's image tower (So400m, 448 pixels), and one for a machine without a GPU.
_FULL = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
_SMALL = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
# One image after the other, of which each waits for its answer.
_SINGLES = 20


def write_model(folder: Path, machine: Machine) -> Checkpoint:
    """A checkpoint of the full size with random weights; its text tower is as small as that of `tiny`."""
    activation = {"hidden_act": "gelu_pytorch_tanh"}
    pixels = {"image_size": 448 if machine.large else 56, "patch_size": 14}
    width = (_FULL if machine.large else _SMALL)["hidden_size"]
    text = {
        **_TEXT,
        **activation,
        "projection_size": width,
        "vocab_size": 1224,
        "max_position_embeddings": 64,
    }
    vision = {**(_FULL if machine.large else _SMALL), **activation, **pixels}
    return write_random(folder, {"model_type": "siglip", "vision_config": vision, "text_config": text})


def operations(tower: Tower, image_size: int, patch_size: int) -> float:
    """Multiplications and additions for one image: projections and MLPs of each layer, attention, the
    embedding of patches, and the pooling with its one query.
    """
    tokens, width = (image_size // patch_size) ** 2, tower.width
    layer = tokens * (8 * width**2 + 4 * width * tower.mlp_width) + 4 * tokens**2 * width
    patches = 2 * tokens * 3 * patch_size**2 * width
    pooling = 4 * tokens * width**2 + 4 * tokens * width + 4 * width**2 + 4 * width * tower.mlp_width
    return float(tower.layers * layer + patches + pooling)


@dataclass
class EncoderRates:
    """The outcomes of one checkpoint, written once."""

    checkpoint: Checkpoint
    machine: Machine
    rounds: int
    encoder: Encoder = field(init=False)
    images: NDArray[np.uint8] = field(init=False)
    wrong: str | None = field(init=False)

    def __post_init__(self) -> None:
        machine, size = self.machine, self.checkpoint.image_size
        batch = 128 if machine.large else 4
        draw = np.random.default_rng(0)
        self.images = draw.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        name = machine.device.type
        self.encoder = Encoder(self.checkpoint, device=name, precision="bfloat16", batch_size=batch)
        exact = Encoder(self.checkpoint, device=name, precision="float32", batch_size=16)
        self.wrong = _far(self.encoder.encode_images(self.images[:16]), exact.encode_images(self.images[:16]))

    def in_batches(self) -> Outcome:
        """B1."""
        title = "time of matrix products in bfloat16 ÷ encoder, bfloat16, batches of 128, the same operations"
        return self._against_products(title, 0.65, len(self.images), 1)

    def alone(self) -> Outcome:
        """B4."""
        title = "time of matrix products in bfloat16 ÷ encoder, bfloat16, one image at a time"
        return self._against_products(title, 0.5, 1, _SINGLES if self.machine.large else 4)

    def _against_products(self, title: str, goal: float, batch: int, times: int) -> Outcome:
        if self.wrong:
            return Outcome(title, goal, GUARD, batch * times, failure=self.wrong)
        architecture = self.checkpoint.architecture
        one = operations(architecture.vision, architecture.image_size, architecture.patch_size)
        limit = products(self.machine, one * batch * times, torch.bfloat16)

        def ours() -> None:
            for number in range(times):
                self.encoder.encode_images(self.images[number : number + batch])

        mine, theirs = alternate(ours, limit.run, self.rounds)
        return Outcome(title, goal, GUARD, batch * times, mine, [one * limit.scale for one in theirs])

    def against_transformers(self) -> Outcome:
        """B2."""
        title = "time of transformers, bfloat16, eager with SDPA ÷ encoder, bfloat16, batches of 128"
        if self.wrong:
            return Outcome(title, 1.4, GUARD, len(self.images), failure=self.wrong)
        model = _transformers(self.checkpoint.folder, self.machine)

        def theirs() -> NDArray[np.float32]:
            pixels = torch.from_numpy(self.images).to(self.machine.device).permute(0, 3, 1, 2)
            scaled = pixels.to(torch.float32).div_(127.5).sub_(1.0).to(torch.bfloat16)
            with torch.inference_mode():
                pooled = model(pixel_values=scaled).pooler_output
                unit = torch.nn.functional.normalize(pooled.float(), dim=-1)
            found: NDArray[np.float32] = unit.cpu().numpy()
            return found

        mine = self.encoder.encode_images(self.images)
        wrong = _far(mine, theirs())
        if wrong:
            return Outcome(title, 1.4, GUARD, len(mine), failure=f"transformers: {wrong}")
        times = alternate(lambda: self.encoder.encode_images(self.images), theirs, self.rounds)
        return Outcome(title, 1.4, GUARD, len(mine), *times)


def _transformers(folder: Path, machine: Machine) -> Any:
    from safetensors.torch import load_file
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = json.loads((folder / "config.json").read_text("utf-8"))["vision_config"]
    kind: Any = SiglipVisionModel
    made = kind(SiglipVisionConfig.from_dict({**config, "attn_implementation": "sdpa"}))
    if made.config._attn_implementation != "sdpa":
        raise RuntimeError(f"transformers took the attention {made.config._attn_implementation}, not sdpa")
    tensors = load_file(folder / "model.safetensors")
    missing, _ = made.load_state_dict(_vision(tensors, made.state_dict()), strict=False)
    if missing:
        raise RuntimeError(f"transformers lacks {missing[:3]}")
    return made.to(machine.device, torch.bfloat16).eval()


def _vision(tensors: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The tensors of the image tower under the names that this version of transformers has for them."""
    short = {name.removeprefix("vision_model."): one for name, one in tensors.items()}
    return {name: short[name.removeprefix("vision_model.")] for name in wanted}


def _far(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> str | None:
    least = float(np.einsum("ij,ij->i", mine, theirs, dtype=np.float64).min())
    return None if least >= 0.999 else f"a cosine of {least:.5f}"
