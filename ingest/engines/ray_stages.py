"""What runs on the nodes of a Ray cluster: portions of units are rendered by tasks and encoded by actors.

Blocks of Ray Data are Arrow tables with one row for each portion. Nothing raises: an error travels as a
value, so that Ray repeats what was lost and not what failed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ModelError
from medsiglip.ingest.engines.engine import ImageEncoder, gives_images
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.source import source_status
from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.workers.isolation import render_or_isolate
from medsiglip.ingest.workers.pool import Worker
from medsiglip.ingest.workers.rendered_unit import RenderedUnit

if TYPE_CHECKING:
    import pyarrow as pa

_NO_INPUTS = np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is made of a unit, as `EngineOptions` says."""

    size: int
    profile: str
    dimension: int
    keeps_inputs: bool


class Failure(NamedTuple):
    """An error that ends the run: `kind` is `ingest` or `model`."""

    kind: str
    code: str
    message: str

    def error(self) -> IngestError | ModelError:
        """The error, to be raised where the run is."""
        return (ModelError if self.kind == "model" else IngestError)(self.code, self.message)


class RenderedPortion(NamedTuple):
    """`units` in the order in which they were given, without their model inputs, of which each has `counts`;
    those of `encoded` enter the index. `missing` are files that are not there on `node`.
    """

    units: tuple[RenderedUnit, ...]
    counts: tuple[int, ...]
    encoded: tuple[bool, ...]
    node: str
    missing: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedPortion:
    """A portion with its vectors, float32 [n, d], of the units that are encoded; `inputs`, uint8
    [m, S, S, 3], are those of all units, if they are kept.
    """

    number: int
    rendered: RenderedPortion
    vectors: NDArray[np.float32]
    inputs: NDArray[np.uint8] | None = None


def unit_block(number: int, units: Sequence[Unit]) -> pa.Table:
    """The block of a portion before it is rendered; the version of this program travels beside the pickle."""
    return _table(number, program_version(), "units", pickle.dumps(tuple(units), protocol=5))


def render_block(block: pa.Table, *, stage: Stage, beat: Callable[[], None]) -> pa.Table:
    """Render the portions of a block, in a worker process beside this one; `beat` is called after each
    attempt.
    """
    import pyarrow as pa

    done = []
    for row in range(block.num_rows):
        number, version = _head(block, row)
        if version == program_version():
            portion, inputs = _render(pickle.loads(_buffer(block, "units", row)), stage, beat)
        else:
            portion, inputs = _other_version(), b""
        table = _table(number, version, "rendered", pickle.dumps(portion, protocol=5))
        done.append(table.append_column("inputs", pa.array([inputs], pa.large_binary())))
    return pa.concat_tables(done)


def _render(
    units: Sequence[Unit], stage: Stage, beat: Callable[[], None]
) -> tuple[RenderedPortion, bytes | memoryview]:
    node = _node()
    worker = _worker(stage.size, stage.profile)

    def render(unit: Unit) -> RenderedUnit:
        try:
            return worker.render(unit)
        finally:
            beat()

    rendered: list[RenderedUnit] = []
    inputs: list[NDArray[np.uint8]] = []
    missing: list[str] = []
    try:
        for unit in units:
            one = render_or_isolate(render, unit)
            refused = (unit.headers[outcome.file].path for outcome in one.files if outcome.pixel_hash is None)
            missing += [path for path in refused if not is_reachable(path)]
            inputs.append(one.inputs)
            rendered.append(replace(one, inputs=_NO_INPUTS))
    except IngestError as error:
        return _failed(node, Failure("ingest", error.code, f"On the node {node}: {error}")), b""
    together = [each for each in inputs if len(each)]
    portion = RenderedPortion(
        tuple(rendered),
        tuple(map(len, inputs)),
        tuple(gives_images(unit, one) for unit, one in zip(units, rendered, strict=True)),
        node,
        tuple(missing),
    )
    return portion, np.concatenate(together).reshape(-1).data if together else b""


def _failed(node: str, failure: Failure) -> RenderedPortion:
    return RenderedPortion((), (), (), node, failure=failure)


def _other_version() -> RenderedPortion:
    node = _node()
    text = f"The node {node} has another version of medsiglip than the ingest; install the same on all."
    return _failed(node, Failure("ingest", "other-version", text))


def is_reachable(path: str) -> bool:
    """Whether a file, or an archive's member, is there on this machine."""
    try:
        source_status(path)
    except OSError:
        return False
    return True


class EncodeBlock:
    """Encodes the blocks of `render_block`; the model is loaded with the first.

    `make_encoder` is a pickle of what makes the encoder, made by `cloudpickle`.
    """

    def __init__(self, make_encoder: bytes, stage: Stage, beat: Callable[[], None]) -> None:
        self._make_encoder = make_encoder
        self._stage = stage
        self._beat = beat
        self._encoder: ImageEncoder | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        """A block of embedded portions, which `portions_of` reads."""
        import pyarrow as pa

        done = []
        for row in range(block.num_rows):
            number, version = _head(block, row)
            is_same = version == program_version()
            portion: RenderedPortion = (
                pickle.loads(_buffer(block, "rendered", row)) if is_same else _other_version()
            )
            size = self._stage.size
            inputs = np.frombuffer(_buffer(block, "inputs", row), np.uint8).reshape(-1, size, size, 3)
            vectors, failure = self._encode(portion, inputs)
            if failure is not None:
                portion = portion._replace(failure=failure)
            kept = inputs if self._stage.keeps_inputs else None
            embedded = EmbeddedPortion(number, portion, vectors, kept)
            done.append(_table(number, version, "embedded", pickle.dumps(embedded, protocol=5)))
        return pa.concat_tables(done)

    def _encode(
        self, portion: RenderedPortion, inputs: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], Failure | None]:
        chosen = inputs[np.repeat(portion.encoded, portion.counts)] if portion.counts else inputs[:0]
        nothing = np.zeros((0, self._stage.dimension), np.float32)
        if portion.failure is not None or not len(chosen):
            return nothing, portion.failure
        try:
            return self._vectors(chosen), None
        except (IngestError, ModelError) as error:
            kind = "model" if isinstance(error, ModelError) else "ingest"
            return nothing, Failure(kind, error.code, f"On the node {_node()}: {error}")
        except Exception as error:  # its message may quote anything
            text = f"The encoder failed on the node {_node()}: {type(error).__name__}."
            return nothing, Failure("ingest", "node-encoder-failed", text)

    def _vectors(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A sign of life follows what was done, a batch each: a process that only begins gives none."""
        if self._encoder is None:
            self._encoder = pickle.loads(self._make_encoder)()
        vectors, begin = [], 0
        while begin < len(images):
            together = getattr(self._encoder, "batch_size", None) or len(images)  # it falls with memory
            vectors.append(self._encoder.encode_images(images[begin : begin + together]))
            begin += together
            self._beat()
        return np.concatenate(vectors)


def portions_of(block: pa.Table) -> list[bytes]:
    """The embedded portions of a block, each a pickle of an `EmbeddedPortion`."""
    return [bytes(_buffer(block, "embedded", row)) for row in range(block.num_rows)]


@cache
def program_version() -> str:
    """The version of this program."""
    from importlib.metadata import version

    return version("medsiglip")


@cache
def _worker(size: int, profile: str) -> Worker:
    """The worker process of this task process; it ends with it, because its input does."""
    return Worker(size, profile)


@cache
def _node() -> str:
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())


def _table(number: int, version: str, name: str, packed: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "number": pa.array([number], pa.int64()),
            "version": pa.array([version]),
            name: pa.array([packed], pa.large_binary()),
        }
    )


def _head(block: pa.Table, row: int) -> tuple[int, str]:
    """The number of a portion and the version of the program that made it."""
    return block["number"][row].as_py(), block["version"][row].as_py()


def _buffer(block: pa.Table, name: str, row: int) -> Any:
    return block[name][row].as_buffer()
