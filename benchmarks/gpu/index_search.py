"""Exact searches of a million vectors in float16: alone against reading them, in batches against products."""

from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.gpu.device_vectors import DeviceVectors, device_vectors
from benchmarks.gpu.limits import Machine, copies, products
from benchmarks.measure import Outcome, alternate
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.gpu.device import CudaDevice, ProcessorDevice, SearchDevice
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex
from medsiglip.index.search.kinds.gpu.owner import owner_of
from medsiglip.index.search.kinds.gpu.recipes import FLAT
from medsiglip.index.search.kinds.gpu.residence import Residence

GUARD = (
    "the same ten ids as a comparison with every row on the host, nine of ten answers proven on the device"
)
K, _COMPARED, _SINGLES = 10, 8, 40


@dataclass
class IndexRates:
    """The outcomes of one index, built once: the rows go to the device here."""

    machine: Machine
    rounds: int
    vectors: DeviceVectors = field(init=False)
    index: GpuIndex = field(init=False)
    wrong: str | None = field(init=False)

    def __post_init__(self) -> None:
        rows, dimension, queries = (10**6, 1152, 1024) if self.machine.large else (4_000, 128, 32)
        self.vectors = device_vectors(self.machine.device, rows, dimension, queries)
        on: SearchDevice = CudaDevice() if self.machine.device.type == "cuda" else ProcessorDevice()
        # No codes on the host: it compares all rows, so that what it finds depends on none of ours.
        host = BoundedIndex(dimension, least=2 * rows)
        self.index = GpuIndex(host, Residence(FLAT, owner_of(on), "", 1))
        self.index.add(np.arange(rows), self.vectors.rows)
        self.index.move()
        self.index.residence.settle()
        self.wrong = self._checked(host)

    def _checked(self, host: BoundedIndex) -> str | None:
        if self.index.residence.rows is None:
            return f"the rows are not on the device: {self.index.device_reason}"
        few = self.vectors.queries[:_COMPARED]
        found = self.index.search(self.vectors.queries, K)
        if not np.array_equal(found.ids[:_COMPARED], host.search(few, K).ids):
            return "another answer than that of the host"
        proven = found.how.count("proven") / len(found.how)
        return None if proven >= 0.9 else f"{proven:.0%} of the answers were proven on the device"

    def alone(self) -> Outcome:
        """B5."""
        rows, dimension = self.vectors.rows.shape
        title = f"time of reading the vectors once ÷ one exact search, {rows:,} x {dimension} float16, k 10"
        singles = self.vectors.queries[: _SINGLES if self.machine.large else 8]
        limit = copies(self.machine, 2.0 * rows * dimension * len(singles))

        def ours() -> None:
            for query in singles:
                self.index.search(query[None], K)

        mine, theirs = self._timed(ours, limit.run)
        return self._outcome(title, 1 / 1.3, len(singles), mine, [one * limit.scale for one in theirs])

    def in_batches(self) -> Outcome:
        """B6."""
        rows, dimension = self.vectors.rows.shape
        queries = len(self.vectors.queries)
        title = (
            f"time of the product ÷ {queries} exact searches at once, {rows:,} x {dimension} float16, k 10"
        )
        limit = products(self.machine, 2.0 * rows * dimension * queries, self._half)
        mine, theirs = self._timed(lambda: self.index.search(self.vectors.queries, K), limit.run)
        return self._outcome(title, 0.5, queries, mine, [one * limit.scale for one in theirs])

    @property
    def _half(self) -> torch.dtype:
        # A processor multiplies matrices of float16 one value after the other.
        return torch.float16 if self.machine.device.type == "cuda" else torch.float32

    def device_seconds(self) -> tuple[float, float]:
        """Medians of one query and of a batch on the device alone, without the ranking on the host."""
        rows = self.index.residence.rows
        if rows is None:
            return float("nan"), float("nan")
        asked = self.vectors.queries
        one, many = self._timed(
            lambda: rows.owner.search(rows, asked[:1], K + FLAT.spare),
            lambda: rows.owner.search(rows, asked, K + FLAT.spare),
        )
        return float(np.median(one)), float(np.median(many))

    def _timed(self, ours: object, peer: object) -> tuple[list[float], list[float]]:
        return ([], []) if self.wrong else alternate(ours, peer, self.rounds)  # type: ignore[arg-type]

    def _outcome(
        self, title: str, goal: float, items: int, mine: list[float], theirs: list[float]
    ) -> Outcome:
        return Outcome(title, goal, GUARD, items, mine, theirs, failure=self.wrong)
