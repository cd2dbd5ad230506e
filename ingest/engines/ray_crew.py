"""The actor that runs Ray Data for a run, anywhere in the cluster.

It owns everything that the run has there: when it ends, however that is, its tasks and encoders end too. So a
pipeline that hangs is ended and begun again by ending this actor, and what follows it may be a client outside
the cluster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.ingest.engines.ray_stages import EncodeBlock, Stage, portions_of, render_block

if TYPE_CHECKING:
    import pyarrow as pa

# Signs of life of one process are this far apart at least.
BEAT_EVERY_S = 1.0
# Encoders and tasks that end are begun again so often, as when a node is lost; beyond it Ray gives up, and
# the run counts. By itself Ray would begin an encoder again for ever.
REPEATS = 2
# Calls at once: what is asked for next, beside signs of life.
CALLS = 4


class Beat:
    """Tells the crew that work goes on. It is copied to every process of the pipeline."""

    def __init__(self, crew: Any) -> None:
        self._crew = crew
        self._last = 0.0

    def __call__(self) -> None:
        """A sign of life."""
        now = time.monotonic()
        if now - self._last >= BEAT_EVERY_S:
            self._last = now
            self._crew.beat.remote()

    def __reduce__(self) -> tuple[type[Beat], tuple[Any]]:
        return Beat, (self._crew,)


class Crew:
    """One pipeline: portions of units in, portions with vectors out."""

    def __init__(self) -> None:
        self._blocks: Iterator[pa.Table] = iter(())
        self._beats = 0
        self._counting = threading.Lock()

    def begin(self, blocks: Sequence[pa.Table], make_encoder: bytes, stage: Stage) -> None:
        """Begin a pipeline of these blocks, those of `unit_block`, instead of the one before."""
        import ray
        from ray.data import ActorPoolStrategy, DataContext, from_arrow

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        share, encoding = _shares()
        beat = Beat(ray.get_runtime_context().current_actor)
        rendered = from_arrow(list(blocks)).map_batches(
            render_block,
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            fn_kwargs={"stage": stage, "beat": beat},
            num_cpus=share,
            max_retries=REPEATS,
        )
        embedded = rendered.map_batches(
            EncodeBlock,
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ActorPoolStrategy(min_size=1, max_size=encoding.pop("most")),
            fn_constructor_kwargs={"make_encoder": make_encoder, "stage": stage, "beat": beat},
            max_restarts=REPEATS,
            max_task_retries=REPEATS,
            **encoding,
        )
        self._blocks = iter(
            embedded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
        )

    def following(self) -> list[bytes] | None:
        """The portions that were finished next, each a pickle of an `EmbeddedPortion`; None at the end."""
        block = next(self._blocks, None)
        return None if block is None else portions_of(block)

    def beat(self) -> None:
        """A sign of life of a task or an encoder."""
        with self._counting:
            self._beats += 1

    def pulse(self) -> int:
        """How many signs of life there were."""
        return self._beats


def _shares() -> tuple[float, dict[str, Any]]:
    """The processors of one rendering task, and what one encoder takes and how many there are at `most`: one
    for each GPU; without one, half the processors of each node.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    share = 0.5 if sum(cores) < 2 else 1.0
    graphics = int(sum(node.get("GPU", 0) for node in nodes))
    if graphics:
        return share, {"most": graphics, "num_gpus": 1, "num_cpus": 0}
    return share, {"most": max(len(cores), 1), "num_cpus": max(share, min(cores, default=1) // 2)}
