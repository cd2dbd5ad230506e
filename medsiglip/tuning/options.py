"""The options of a tuning run, free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from medsiglip.errors import ModelError
from medsiglip.preprocess import DEFAULT_PROFILE

OptimizerName = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to tune.

    The defaults suit a pretrained checkpoint; training from scratch wants the `optimizer` "muon" and a
    `learning_rate` of 1e-3. Each step compares a batch of pictures with `captions_per_step` captions of each,
    where pictures have several. `warmup` is the share of all steps over which the rate rises before it falls
    as a cosine to zero; `shift` the largest random displacement of a training picture, as a share of its
    side, and `intensity` the largest random change of its contrast and brightness (never a flip: captions
    name sides). `train` "image" and "text" lock the other tower, as in LiT (Zhai et al., arXiv 2111.07991):
    "text" fits the text tower to the pictures' vectors as they are; "image" needs no text tower at all, for
    each caption that several pictures list has a vector of its own, learned with the image tower and dropped
    at the end. `validation_fraction` is the share of patients held out where `metadata.csv` has no split.
    `precision` "bfloat16" is for GPUs.
    """

    epochs: int = 10
    batch_size: int = 32
    captions_per_step: int = 1
    learning_rate: float = 1e-5
    weight_decay: float = 1e-2
    optimizer: OptimizerName = "adamw"
    train: Literal["both", "image", "text"] = "both"
    warmup: float = 0.1
    shift: float = 0.04
    intensity: float = 0.1
    validation_fraction: float = 0.1
    seed: int = 0
    profile: str = DEFAULT_PROFILE
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        least = min(self.epochs, self.captions_per_step, self.batch_size - 1)
        if least < 1 or not 0 < self.learning_rate < math.inf:
            raise ModelError(
                "option-invalid",
                "Tuning needs at least 1 epoch, 1 caption a step, batches of 2 and a learning rate above 0, "
                "which is a number.",
            )
        for name in ("weight_decay", "warmup", "shift", "intensity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError("option-invalid", f"The {name.replace('_', ' ')} must lie between 0 and 1.")
        if not 0 < self.validation_fraction < 1:
            raise ModelError("option-invalid", "The validation fraction must lie between 0 and 1.")
