"""What an index takes of a device, and what the driver of CUDA says is free."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medsiglip.index.search.kinds.gpu.choice import GPU_RECIPES, fitting_kind, gpu_kind, gpu_status
from medsiglip.index.search.kinds.gpu.device import CudaDevice, ProcessorDevice, find_device, one_line
from medsiglip.index.search.kinds.gpu.device_memory import (
    RESERVE,
    DeviceMemory,
    Need,
    cuda_capacity,
    cuda_memory,
    driver_capacity,
    driver_memory,
)
from medsiglip.index.search.kinds.gpu.recipes import FLAT, IVF_FLAT, IVF_PQ, number_of_lists, parts
from tests.index.search.kinds.gpu.devices import FULL, FullDevice

GIB = 1 << 30


def test_known_needs() -> None:
    """A million of 1152 values: 2.15 GiB in float16, 4.3 in float32 doubled, 96 bytes of code each."""
    flat, lists, codes = (one.need(10**6, 1152) for one in (FLAT, IVF_FLAT, IVF_PQ))
    assert flat.vectors == flat.moving == 10**6 * 2308
    assert flat.total == 2 * 10**6 * 2308 + 1536 * 2**20 + RESERVE
    assert lists.vectors == 2 * 10**6 * (4608 + 8) + 2048 * 1152 * 4
    assert codes.vectors == 2 * 10**6 * (96 + 8) + 2048 * 1152 * 4
    # Of ten million, one part at a time is moved.
    assert FLAT.need(10**7, 1152).moving == 2**20 * 2308


def test_what_does_not_fit_is_said_with_figures() -> None:
    need = Need("9 vectors", 4 * GIB, GIB, GIB // 2, GIB)
    assert need.fits(None)
    assert need.fits(DeviceMemory(13 * GIB // 2, 8 * GIB))
    full = DeviceMemory(13 * GIB // 2 - 1, 8 * GIB)
    assert not need.fits(full)
    assert need.message("cuda:0", full) == (
        "9 vectors need 6.50 GiB on cuda:0 (vectors 4.00 GiB, while they are moved 1.00 GiB, temporary "
        "0.50 GiB, reserve 1.00 GiB), of which 6.50 GiB of 8.00 GiB are free"
    )


def test_the_kind_is_the_first_that_fits() -> None:
    for free, expected in ((80, "gpu-flat"), (4, "gpu-ivf-pq"), (1, None)):
        found = fitting_kind(FullDevice(free * GIB), 10**6, 1152)
        assert (found and found[0]) == expected
    assert fitting_kind(FullDevice(GIB, known=False), 10**6, 1152) == (
        "gpu-flat",
        "1,000,000 vectors of 1152 values in float16 fit on cpu",
    )
    assert fitting_kind(FullDevice(80 * GIB), 1000, 1152) is None
    assert list(GPU_RECIPES) == ["gpu-flat", "gpu-ivf-flat", "gpu-ivf-pq"]


def test_without_a_gpu_the_processor_is_chosen_and_the_reason_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert find_device() == (None, "faiss sees no GPU")
    assert gpu_kind(10**6, 1152) is None
    assert gpu_status() == {"device": "cpu", "reason": "faiss sees no GPU"}

    def broken() -> int:
        raise RuntimeError("Error in f at a.cu:3: Error: 'x' failed: CUDA driver version is insufficient\n")

    monkeypatch.setattr(faiss, "get_num_gpus", broken)
    assert find_device() == (None, "CUDA does not start: CUDA driver version is insufficient")
    monkeypatch.delattr(faiss, "StandardGpuResources")
    assert find_device()[1] == "this faiss was built without GPU code: install faiss-gpu"


def test_with_a_gpu_it_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(CudaDevice, "capacity", lambda self: DeviceMemory(80 * GIB, 80 * GIB))
    assert gpu_status() == {"device": "cuda:0", "reason": None}
    found = gpu_kind(10**6, 1152)
    assert found is not None
    assert found[0] == "gpu-flat"


def test_lists_can_be_learnt_and_all_be_probed() -> None:
    found = [number_of_lists(rows) for rows in (1, 100, 10_000, 10**6, 10**8)]
    assert found == [1, 1, 128, 2048, 2048]
    for rows in np.random.default_rng(0).integers(64, 10**7, 50).tolist():
        assert number_of_lists(rows) * 39 <= rows


@pytest.mark.parametrize(
    ("dimension", "expected"), [(1152, 96), (768, 96), (64, 32), (40, 20), (7, 1), (2, 1)]
)
def test_parts_divide_the_dimension(dimension: int, expected: int) -> None:
    assert parts(dimension) == expected
    assert dimension % expected == 0


class Driver:
    """The functions of libcuda by which its memory is asked for; `fails` names one that does not work."""

    def __init__(self, fails: str | None = None) -> None:
        self.calls: list[str] = []
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        def function(*arguments: Any) -> int:
            self.calls.append(name)
            if name == self.fails:
                return 2
            if name == "cuMemGetInfo_v2":
                arguments[0]._obj.value, arguments[1]._obj.value = 5 * GIB, 8 * GIB
            if name == "cuDeviceTotalMem_v2":
                arguments[0]._obj.value = 8 * GIB
            return 0

        return function


def test_the_driver_is_asked_in_the_context_that_faiss_uses_and_left_as_it_was() -> None:
    driver = Driver()
    assert driver_memory(driver, 0) == DeviceMemory(5 * GIB, 8 * GIB)
    assert driver.calls == [
        "cuInit",
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuMemGetInfo_v2",
        "cuCtxPopCurrent_v2",
        "cuDevicePrimaryCtxRelease_v2",
    ]
    for name in driver.calls[:5]:
        broken = Driver(name)
        assert driver_memory(broken, 0) is None
        taken, given = "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2"
        held = taken in broken.calls and name != taken
        assert broken.calls.count(given) == held
    assert cuda_memory(0, "libof-no-such-name.so.1") is None
    assert cuda_memory(0, "libc.so.6") is None


def test_all_memory_is_told_without_a_context() -> None:
    driver = Driver()
    assert driver_capacity(driver, 0) == DeviceMemory(8 * GIB, 8 * GIB)
    assert driver.calls == ["cuInit", "cuDeviceGet", "cuDeviceTotalMem_v2"]
    for name in driver.calls:
        assert driver_capacity(Driver(name), 0) is None
    assert cuda_capacity(0, "libof-no-such-name.so.1") is None


def test_messages_of_faiss_are_one_line_without_places_in_its_source() -> None:
    short = one_line(RuntimeError(FULL))
    assert short.startswith("StandardGpuResources: alloc fail type FlatData")
    assert short.endswith("(cudaMalloc error out of memory [2])")
    assert one_line(MemoryError()) == "MemoryError"
    assert ProcessorDevice().memory() is None
