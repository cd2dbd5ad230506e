"""What an ingest asks of an engine: units in, rendered units with their vectors out; it commits nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.workers.rendered_unit import RenderedUnit

if TYPE_CHECKING:
    from medsiglip.checkpoint import Checkpoint


class ImageEncoder(Protocol):
    """The part of `medsiglip.encoder.Encoder` that a run uses."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Model inputs uint8 [n, S, S, 3] -> unit vectors float32 [n, d]."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine makes: model inputs for `checkpoint` by `profile`, and its vectors. `workers` None means
    one for each core, at most 8.

    With `keeps_inputs` the model inputs of every unit are asked for after they were encoded (for the
    thumbnails of a report); without it an engine may leave `rendered.inputs` empty.
    """

    checkpoint: Checkpoint
    profile: str
    workers: int | None = None
    keeps_inputs: bool = False


class EmbeddedUnit(NamedTuple):
    """A rendered unit and the vectors of its images, float32 [len(rendered.images), d]; [0, d] where
    `gives_images` is false.
    """

    unit: Unit
    rendered: RenderedUnit
    vectors: NDArray[np.float32]


class IngestEngine(Protocol):
    """Renders and encodes the units of one run. `medsiglip.ingest.engines.local` is the definition: with the
    same units every engine gives the same files, images and codes, and the same vectors up to the rounding of
    the encoder's device.
    """

    def prepare(self, files: int) -> None:
        """Start what takes time to start, while the headers of so many files are read."""

    def embed(
        self, units: Sequence[Unit], check: Callable[[], None]
    ) -> Generator[Sequence[EmbeddedUnit], None, None]:
        """Yield every unit once, in any order, in the portions in which they were encoded; a commit may
        follow each portion. Leaving the iteration early ends the workers. It may be called again.

        `check` is called while waiting, at least twice a second, and may raise. A file that crashes or hangs
        its decoder is rejected alone (`decoder-crashed`, `decoder-timeout`, `decoder-memory`). Raises
        `IngestError` if no worker can start at all, and whatever the encoder raises.
        """

    def close(self) -> None:
        """End the workers; safe to call again."""


def gives_images(unit: Unit, rendered: RenderedUnit) -> bool:
    """Whether images of a rendered unit enter the index, so that they have to be encoded: not if no file of
    it is usable, or none of those that a series gained.
    """
    usable = (unit.headers[one.file].path for one in rendered.files if one.pixel_hash is not None)
    if unit.replace_series:
        return any(path in unit.new for path in usable)
    return any(True for _ in usable)
