"""The engine of one machine: worker processes render, and this process encodes what they give."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.engines.engine import EmbeddedUnit, EngineOptions, ImageEncoder, gives_images
from medsiglip.ingest.workers.unit_rendering import FEW_FILES, is_small_and_safe
from medsiglip.tracing.spans import span

if TYPE_CHECKING:
    from medsiglip.ingest.units.plan import Unit
    from medsiglip.ingest.workers.pool import WorkerPool
    from medsiglip.ingest.workers.rendered_unit import RenderedUnit

# Images are encoded as they come, while the workers render the next ones: at most this many together, and no
# more than take about ENCODED_WITHIN_S. The first are few, so that something is kept early even with a large
# model on a CPU.
ENCODED_TOGETHER = 64
FIRST_TOGETHER = 8
ENCODED_WITHIN_S = 8.0


class LocalEngine:
    """Renders in worker processes, a few small safe files in this one; encodes in full batches."""

    def __init__(self, options: EngineOptions, make_encoder: Callable[[], ImageEncoder]) -> None:
        self._size, self._profile = options.checkpoint.image_size, options.profile
        self._dimension = options.checkpoint.dimension
        self._asked_workers = options.workers
        self._make_encoder = make_encoder
        self._encoder: ImageEncoder | None = None
        self._pool: WorkerPool | None = None
        self._together = min(FIRST_TOGETHER, ENCODED_TOGETHER)

    def prepare(self, files: int) -> None:
        """Start workers, if so many files need them."""
        if files > FEW_FILES:
            self._pool = self._new_pool(files)
            self._pool.start()

    def embed(
        self, units: Sequence[Unit], check: Callable[[], None]
    ) -> Generator[Sequence[EmbeddedUnit], None, None]:
        """Yield the units as they are rendered, those together that were encoded together."""
        waiting: list[tuple[Unit, RenderedUnit]] = []
        images = 0
        rendering = self._render(units, check)
        try:
            for unit, rendered in rendering:
                check()
                waiting.append((unit, rendered))
                images += len(rendered.inputs) if gives_images(unit, rendered) else 0
                if not images or images >= self._together:
                    portion, waiting, images = self._encoded(waiting), [], 0
                    yield portion
        finally:
            rendering.close()
        if waiting:
            yield self._encoded(waiting)

    def close(self) -> None:
        """End workers that were started and not used."""
        if self._pool is not None:
            self._pool.close()

    def _render(
        self, units: Sequence[Unit], check: Callable[[], None]
    ) -> Generator[tuple[Unit, RenderedUnit], None, None]:
        if is_small_and_safe(units):
            from medsiglip.ingest.workers.rendered_unit import render_unit

            for unit in units:
                yield unit, render_unit(unit, self._size, self._profile)
            return
        # A pool is used once: copies of unusable files are rendered by another.
        pool, self._pool = self._pool or self._new_pool(len(units)), None
        yield from pool.render_all(units, check)

    def _new_pool(self, tasks: int) -> WorkerPool:
        from medsiglip.ingest.workers.pool import WorkerPool, usual_workers

        return WorkerPool(min(self._asked_workers or usual_workers(), tasks), self._size, self._profile)

    def _encoded(self, waiting: Sequence[tuple[Unit, RenderedUnit]]) -> list[EmbeddedUnit]:
        """The rendered units with their vectors."""
        inputs = [
            rendered.inputs
            for unit, rendered in waiting
            if len(rendered.inputs) and gives_images(unit, rendered)
        ]
        vectors = self._encode(inputs) if inputs else np.zeros((0, self._dimension), np.float32)
        portion, begin = [], 0
        for unit, rendered in waiting:
            end = begin + (len(rendered.inputs) if gives_images(unit, rendered) else 0)
            portion.append(EmbeddedUnit(unit, rendered, vectors[begin:end]))
            begin = end
        return portion

    def _encode(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        encoder = self._encoder = self._encoder or self._make_encoder()
        together = np.concatenate(inputs) if len(inputs) > 1 else inputs[0]
        begun = time.monotonic()
        with span("encode", images=len(together)):
            vectors = encoder.encode_images(together)
        rate = len(together) / max(time.monotonic() - begun, 1e-6)
        self._together = int(min(max(rate * ENCODED_WITHIN_S, 1), ENCODED_TOGETHER))
        return vectors
