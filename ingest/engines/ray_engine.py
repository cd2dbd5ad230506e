"""The engine of several machines: Ray Data renders portions of units in tasks and encodes them in actors.

Scanning, planning and commits stay with the run, whose index is the only checkpoint: a portion that was lost
is made again, and one that comes twice is taken once. Files must be reachable under the same path on every
node.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medsiglip.ingest.engines.engine import EmbeddedUnit, EngineOptions, ImageEncoder
from medsiglip.ingest.engines.ray_cluster import RayCluster
from medsiglip.ingest.engines.ray_crew import CALLS, Crew
from medsiglip.ingest.engines.ray_stages import (
    EmbeddedPortion,
    Stage,
    is_reachable,
    unit_block,
)
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.workers.pool import CLOCK_FACTOR, START_SECONDS, seconds_allowed

if TYPE_CHECKING:
    import pyarrow as pa

    from medsiglip.ingest.units.plan import Unit

# What one task renders: images as many as are encoded together, of files that fit a task's memory.
PORTION_IMAGES = 64
PORTION_BYTES = 128 << 20
# Files of one pipeline; the next begins when it ends, so that what is in Ray's memory has a bound.
ROUND_FILES = 100_000
# A pipeline without a sign of life is ended after this time beyond what its slowest unit may take, or loading
# a model. It is also begun again when Ray gives up, at most so often without a portion in between.
STALLED_S = 300.0
RESTARTS = 5
# A head that starts again is waited for, and then the job that the run belongs to.
RECONNECT_S = 120.0
_RECONNECT_EVERY_S = 2.0
_CHECK_EVERY_S = 0.4
_PULSE_EVERY_S = 5.0


class RayEngine:
    """Renders and encodes on a Ray cluster, see `medsiglip.ingest.engines.engine.IngestEngine`.

    `make_encoder` is called on the nodes, so it must be picklable, as `NodeEncoder` is.
    """

    def __init__(
        self,
        name: str,
        options: EngineOptions,
        make_encoder: Callable[[], ImageEncoder],
        *,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._cluster = RayCluster(name, options.workers)
        self._stage = Stage(
            options.checkpoint.image_size,
            options.profile,
            options.checkpoint.dimension,
            options.keeps_inputs,
        )
        self._make_encoder = make_encoder
        self._stalled_s = stalled_s
        self._ray: Any = None
        self._crew: Any = None

    def prepare(self, files: int) -> None:
        """Connect, if there are files. Raises `IngestError` `no-ray`, `ray-unreachable`."""
        if files:
            self._ray = self._cluster.connect()

    def embed(
        self, units: Sequence[Unit], check: Callable[[], None]
    ) -> Generator[Sequence[EmbeddedUnit], None, None]:
        """Yield the units by portions, as they come.

        Raises `IngestError` also with `file-not-reachable`, `other-version`, `other-checkpoint`,
        `node-encoder-failed`, `ray-stalled`, `ray-failed`.
        """
        remaining = iter(units)
        while following := list(_first_files(remaining, ROUND_FILES)):
            yield from self._round(following, check)

    def close(self) -> None:
        """End what runs in the cluster, and the connection."""
        self._dismiss()
        self._cluster.close()
        self._ray = None

    def _round(
        self, units: Sequence[Unit], check: Callable[[], None]
    ) -> Generator[Sequence[EmbeddedUnit], None, None]:
        ray = self._ray = self._ray or self._cluster.connect()
        waiting = dict(enumerate(portions(units, self._stage.size, _cores(ray))))
        failures = 0
        try:
            while waiting:
                try:
                    for portion in self._results(waiting, check):
                        made = waiting.pop(portion.number, None)
                        if made is not None:  # else it came twice
                            failures = 0
                            yield self._embedded(made, portion)
                except _LostError as lost:
                    failures += 1
                    self._recover(lost, failures, check)
        finally:
            self._dismiss()

    def _recover(self, lost: _LostError, failures: int, check: Callable[[], None]) -> None:
        """End what is left of a pipeline, so that another can begin."""
        self._dismiss()
        if failures > RESTARTS:
            code = "ray-stalled" if lost.is_stalled else "ray-failed"
            raise IngestError(
                code,
                f"The Ray cluster ended {failures} pipelines one after the other ({lost}); what was encoded "
                "is in the index. Look at its nodes and logs, then run the same command again.",
            ) from None
        if lost.is_disconnected:
            self._cluster.close()
            self._ray = self._reconnected(check)

    def _reconnected(self, check: Callable[[], None]) -> Any:
        """Connect to a cluster that may be starting again. Raises `IngestError` `ray-unreachable`."""
        until = time.monotonic() + RECONNECT_S
        while True:
            try:
                return self._cluster.connect()
            except IngestError as error:
                if error.code != "ray-unreachable" or time.monotonic() >= until:
                    raise
            again = time.monotonic() + _RECONNECT_EVERY_S
            while time.monotonic() < again:
                check()
                time.sleep(min(_CHECK_EVERY_S, _RECONNECT_EVERY_S))

    def _results(
        self, waiting: dict[int, list[Unit]], check: Callable[[], None]
    ) -> Iterator[EmbeddedPortion]:
        """What a new pipeline gives for the portions that wait. Raises _LostError when it is lost."""
        patience = START_SECONDS + self._stalled_s
        patience += CLOCK_FACTOR * max(seconds_allowed(unit) for made in waiting.values() for unit in made)
        blocks = [unit_block(number, made) for number, made in waiting.items()]
        crew = self._begin(blocks, patience, check)
        while (packed := self._wait(crew.following.remote(), crew, patience, check)) is not None:
            for one in packed:
                yield pickle.loads(one)

    def _begin(self, blocks: Sequence[pa.Table], patience: float, check: Callable[[], None]) -> Any:
        ray = self._ray
        with _losses():
            kind = ray.remote(num_cpus=0, max_restarts=0, max_concurrency=CALLS)(Crew)
            self._crew = kind.remote()
            crew = self._crew
            packed = ray.cloudpickle.dumps(self._make_encoder)
            begun = crew.begin.remote(ray.put(blocks), packed, self._stage)
        self._wait(begun, crew, patience, check)
        return crew

    def _wait(self, reference: Any, crew: Any, patience: float, check: Callable[[], None]) -> Any:
        """The value of a reference. Raises _LostError when no sign of life came for `patience` seconds."""
        ray = self._ray
        alive = asked = time.monotonic()
        beats, pulse = 0, None
        while True:
            with _losses():
                if ray.wait([reference], timeout=_CHECK_EVERY_S)[0]:
                    return ray.get(reference)
                now = time.monotonic()
                if pulse is not None and ray.wait([pulse], timeout=0)[0]:
                    counted, pulse = ray.get(pulse), None
                    if counted != beats:
                        beats, alive = counted, now
                if pulse is None and now - asked >= _PULSE_EVERY_S:
                    pulse, asked = crew.pulse.remote(), now
            check()
            if now - alive >= patience:
                raise _LostError(f"no sign of life for {patience:.0f} s", is_stalled=True)

    def _embedded(self, units: Sequence[Unit], portion: EmbeddedPortion) -> list[EmbeddedUnit]:
        rendered = portion.rendered
        if rendered.failure is not None:
            raise rendered.failure.error()
        self._require_files(rendered.missing, rendered.node)
        embedded, vector, image = [], 0, 0
        parts = zip(units, rendered.units, rendered.counts, rendered.encoded, strict=True)
        for unit, one, count, is_encoded in parts:
            if portion.inputs is not None:
                one = replace(one, inputs=portion.inputs[image : image + count])
            image += count
            end = vector + (count if is_encoded else 0)
            embedded.append(EmbeddedUnit(unit, one, portion.vectors[vector:end]))
            vector = end
        return embedded

    def _require_files(self, missing: Sequence[str], node: str) -> None:
        """A file that is gone for all is rejected; one that only a node misses would be, on that node."""
        if any(is_reachable(path) for path in missing):  # its path may name a person
            raise IngestError(
                "file-not-reachable",
                f"A file of this ingest is on this machine and not on the node {node}: mount the folder that "
                "is ingested on every node of the Ray cluster, at the same path, and run again.",
            )

    def _dismiss(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            with suppress(Exception):  # it may be gone, and the cluster too
                self._ray.kill(crew)


def portions(units: Sequence[Unit], size: int, cores: int) -> Iterator[list[Unit]]:
    """Units that one task renders together: about as many images as are encoded together, fewer where there
    would be less than four portions for each of `cores`.
    """
    total = sum(max(unit.max_images, 1) for unit in units)
    most = min(PORTION_IMAGES, max(total // (4 * max(cores, 1)), 1))
    portion: list[Unit] = []
    images = held = 0
    for unit in units:
        more, memory = max(unit.max_images, 1), unit.memory(size)
        if portion and (images + more > most or held + memory > PORTION_BYTES):
            yield portion
            portion, images, held = [], 0, 0
        portion.append(unit)
        images, held = images + more, held + memory
    if portion:
        yield portion


def _first_files(units: Iterator[Unit], most: int) -> Iterator[Unit]:
    """Units of about `most` files."""
    files = 0
    while files < most and (unit := next(units, None)) is not None:
        files += len(unit.headers)
        yield unit


def _cores(ray: Any) -> int:
    with suppress(Exception):
        return int(ray.cluster_resources().get("CPU", 1))
    return 1


class _LostError(Exception):
    """A pipeline is lost; `is_disconnected` with the connection to the cluster."""

    def __init__(self, cause: str, *, is_stalled: bool = False, is_disconnected: bool = False) -> None:
        super().__init__(cause)
        self.is_stalled = is_stalled
        self.is_disconnected = is_disconnected


@contextmanager
def _losses() -> Iterator[None]:
    """Errors of Ray and of the connection to it within the block are `_LostError`."""
    from grpc import RpcError
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        raise _LostError(type(error).__name__) from error
    except (ConnectionError, RpcError) as error:
        raise _LostError(type(error).__name__, is_disconnected=True) from error
