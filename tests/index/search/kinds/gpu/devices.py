"""Devices for tests: FAISS on the processor, a GPU where there is one, and one that runs out of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.gpu.device import CudaDevice, ProcessorDevice, SearchDevice, find_device
from medsiglip.index.search.kinds.gpu.device_memory import DeviceMemory
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex
from medsiglip.index.search.kinds.gpu.owner import DeviceOwner, owner_of
from medsiglip.index.search.kinds.gpu.recipes import Recipe
from medsiglip.index.search.kinds.gpu.residence import Residence

DEVICES = ("processor", "cuda")
every_device = pytest.mark.parametrize("where", DEVICES)
# What FAISS raises when a GPU is full (StandardGpuResources.cpp).
FULL = (
    "Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const AllocRequest&) at "
    "/project/faiss/gpu/StandardGpuResources.cpp:530: Error: 'err == cudaSuccess' failed: "
    "StandardGpuResources: alloc fail type FlatData dev 0 space Device stream 0x5612 size 2764800000 bytes "
    "(cudaMalloc error out of memory [2])\n"
)


def device(where: str) -> SearchDevice:
    """The device of a test; skips it where there is no GPU."""
    if where == "processor":
        return ProcessorDevice()
    found, reason = find_device()
    if found is None:
        pytest.skip(f"not run on a GPU: {reason}")
    return owner_of(found).device


def gpu_index(recipe: Recipe, on: SearchDevice, dimension: int, least: int = 1, **options: Any) -> GpuIndex:
    """An index whose rows move to a device as soon as there are `least`."""
    # Two owners of one GPU would be two threads on it.
    owner = owner_of(on) if isinstance(on, CudaDevice) else DeviceOwner(on)
    return GpuIndex(BoundedIndex(dimension, **options), Residence(recipe, owner, "", least))


def close(index: GpuIndex) -> None:
    """End the owner of a device that only this test has."""
    owner = index.residence.owner
    if owner is not None and not isinstance(owner.device, CudaDevice):
        owner.close()


def moved(index: GpuIndex) -> GpuIndex:
    """The index, with all that is to be moved on the device."""
    index.move()
    index.residence.settle()
    return index


def embeddings(count: int, seed: int, dimension: int = 64, spread: float = 1.2) -> np.ndarray:
    """Unit vectors in clusters, off the origin, with a spectrum that falls as embeddings' does."""
    draw = np.random.default_rng(seed)
    axes = np.arange(2, dimension + 2) ** -spread
    centres = np.random.default_rng(7).standard_normal((12, dimension)) * axes
    vectors = centres[draw.integers(0, 12, count)] + 0.4 * draw.standard_normal((count, dimension)) * axes
    return unit(vectors + 0.3 * np.eye(dimension)[3])


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class FullDevice(ProcessorDevice):
    """FAISS on the processor with so many free bytes, of which rows take two for each value; what goes
    beyond raises what FAISS raises on a GPU. `searches` may be set to fail.
    """

    def __init__(self, free: int, known: bool = True) -> None:
        self.free, self.known = free, known
        self.taken = 0
        self.searches_fail = False

    def memory(self) -> DeviceMemory | None:
        return DeviceMemory(self.free - self.taken, self.free) if self.known else None

    def capacity(self) -> DeviceMemory | None:
        return DeviceMemory(self.free, self.free) if self.known else None

    def half_flat(self, dimension: int) -> Any:
        return _Counted(super().half_flat(dimension), self)


class _Counted:
    def __init__(self, index: Any, device: FullDevice) -> None:
        self._index, self._device = index, device
        self._bytes = 0

    @property
    def ntotal(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: np.ndarray) -> None:
        needed = rows.size * 2
        if self._device.taken + needed > self._device.free:
            raise RuntimeError(FULL)
        self._index.add(rows)
        self._device.taken += needed
        self._bytes += needed

    def search(self, queries: np.ndarray, fetch: int, params: Any = None) -> Any:
        if self._device.searches_fail:
            raise RuntimeError(FULL)
        return self._index.search(queries, fetch, params=params)

    def __del__(self) -> None:
        self._device.taken -= self._bytes
