"""How FAISS is asked for indexes on a GPU: by the signatures of its wheel, which also run without one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from medsiglip.index.search.kinds.gpu.device import (
    TEMPORARY,
    CudaDevice,
    ProcessorDevice,
    device_error,
    find_device,
)
from medsiglip.index.search.kinds.gpu.recipes import IVF_FLAT, IVF_PQ, Recipe
from tests.index.search.kinds.gpu.devices import embeddings

without_a_gpu = pytest.mark.skipif(find_device()[0] is not None, reason="there is a GPU: its tests run there")
LISTS = pytest.mark.parametrize("recipe", [IVF_FLAT, IVF_PQ], ids=lambda one: one.name)


def trained(recipe: Recipe) -> Any:
    assert recipe.make is not None
    made = recipe.make(16, 4)
    ProcessorDevice().train(made, embeddings(600, 1, 16))
    return made


@without_a_gpu
@LISTS
def test_every_call_has_a_signature_of_faiss_and_fails_for_want_of_a_gpu_alone(recipe: Recipe) -> None:
    """SWIG raises TypeError for arguments that no overload takes, before it looks for a GPU."""
    device = CudaDevice()
    assert recipe.make is not None
    lists, untrained = trained(recipe), recipe.make(16, 4)
    calls = (
        lambda: device.half_flat(16),
        lambda: device.lists(lists, 100),
        lambda: device.train(untrained, embeddings(600, 1, 16)),
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="Invalid GPU device 0") as caught:
            call()
        assert str(device_error(caught.value)) == "Invalid GPU device 0"
    assert untrained.clustering_index is None
    assert device.memory() is None


class Asked:
    """Takes the place of a class or function of FAISS, and keeps what it was asked with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(arguments=arguments)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Asked]:
    found = {name: Asked() for name in ("GpuIndexFlatIP", "index_cpu_to_gpu")}
    for name, one in found.items():
        monkeypatch.setattr(faiss, name, one)
    return found


def test_a_flat_index_is_in_float16_on_the_device_with_shared_resources(asked: dict[str, Asked]) -> None:
    device = CudaDevice(3)
    for _ in range(2):
        device.half_flat(16)
    (resources, dimension, config), (again, *_) = asked["GpuIndexFlatIP"].calls
    assert isinstance(resources, faiss.StandardGpuResources)
    assert resources is again
    assert (dimension, config.device, config.useFloat16, config.use_cuvs) == (16, 3, True, False)
    assert device.name == "cuda:3"
    assert TEMPORARY == 1536 << 20


@LISTS
def test_lists_are_copied_trained_with_room_for_the_rows(recipe: Recipe, asked: dict[str, Asked]) -> None:
    lists = trained(recipe)
    CudaDevice(2).lists(lists, 5000)
    [(resources, number, index, options)] = asked["index_cpu_to_gpu"].calls
    assert isinstance(resources, faiss.StandardGpuResources)
    assert (number, index) == (2, lists)
    assert (options.useFloat16, options.reserveVecs, options.use_cuvs) == (True, 5000, False)


def test_resources_that_failed_are_not_used_again(asked: dict[str, Asked]) -> None:
    device = CudaDevice()
    device.half_flat(16)
    asked["GpuIndexFlatIP"].error = RuntimeError("cudaMalloc error out of memory [2]")
    with pytest.raises(RuntimeError, match="out of memory"):
        device.half_flat(16)
    asked["GpuIndexFlatIP"].error = None
    device.half_flat(16)
    first, failed, later = (call[0] for call in asked["GpuIndexFlatIP"].calls)
    assert first is failed
    assert later is not first


def test_centroids_are_found_by_an_index_of_the_device_and_stay_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index on the processor in its place: the same centroids as without it."""
    configs: list[Any] = []

    def near(resources: Any, dimension: int, config: Any) -> Any:
        configs.append(config)
        return faiss.IndexFlatIP(dimension)

    monkeypatch.setattr(faiss, "GpuIndexFlatIP", near)
    assert IVF_FLAT.make is not None
    sample = embeddings(600, 1, 16)
    here, there = IVF_FLAT.make(16, 4), IVF_FLAT.make(16, 4)
    CudaDevice().train(there, sample)
    ProcessorDevice().train(here, sample)
    assert there.is_trained
    assert there.clustering_index is None
    assert [config.useFloat16 for config in configs] == [False]
    right, found = (one.quantizer.reconstruct_n(0, 4) for one in (here, there))
    assert np.array_equal(found, right)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
