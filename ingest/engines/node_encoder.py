"""An encoder that is made on another machine from a description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsiglip.ingest.errors import IngestError

if TYPE_CHECKING:
    from medsiglip.encoder import Encoder, Precision


@dataclass(frozen=True, slots=True)
class NodeEncoder:
    """Called where images are encoded, it loads the model; the rest as in `medsiglip.encoder.Encoder`.

    `model` is `tiny`, a hub id, or a folder that every node reaches by this path; `hash` that of the
    checkpoint which the run works with. The device is a GPU exactly where Ray gave one to the process.
    """

    model: str
    hash: str
    profile: str
    precision: Precision = "float32"
    batch_size: int | None = None

    def __call__(self) -> Encoder:
        """Load the model. Raises `ModelError`, and `IngestError` `other-checkpoint`."""
        from medsiglip.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(self.model)
        if checkpoint.hash != self.hash:
            raise IngestError(
                "other-checkpoint", f"{self.model} holds other weights here; copy the same checkpoint to all."
            )
        from medsiglip.encoder import Encoder

        return Encoder(
            checkpoint,
            profile=self.profile,
            device="cuda" if _has_gpu() else "cpu",
            precision=self.precision,
            batch_size=self.batch_size,
        )


def _has_gpu() -> bool:
    """Whether Ray gave this process a GPU; one that it sees beside that is for others."""
    import ray

    return bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
