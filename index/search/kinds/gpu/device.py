"""Where FAISS holds the vectors of an index: a GPU, or the processor in its place for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from medsiglip.index.search.kinds.gpu.device_memory import DeviceMemory, cuda_capacity, cuda_memory
from medsiglip.index.vectors import Vectors

MOST_RESULTS = 2048
"""The most rows that FAISS on a GPU finds for one query, and the most lists that it probes
(`GPU_MAX_SELECTION_K` of its source).
"""
TEMPORARY = 1536 << 20
"""Bytes that FAISS takes on a GPU for its work: `StandardGpuResources` takes so many at most."""


class DeviceError(Exception):
    """A device could not do what was asked; the message is for `index info` and the log."""


class DeviceClosedError(DeviceError):
    """The device is not used any more by this process."""


class SearchDevice(Protocol):
    """What holds indexes of FAISS. One thread at a time uses it and the indexes that it made."""

    @property
    def name(self) -> str:
        """As `index info` shows it."""

    def memory(self) -> DeviceMemory | None:
        """The memory free at this moment; None where that is unknown."""

    def capacity(self) -> DeviceMemory | None:
        """All its memory as if it were free, without beginning to use the device; None as in `memory`."""

    def half_flat(self, dimension: int) -> Any:
        """An empty index of FAISS by inner product with every row, in float16."""

    def train(self, lists: Any, sample: Vectors) -> None:
        """Train an `IndexIVF` of FAISS, which stays on the host."""

    def lists(self, trained: Any, rows: int) -> Any:
        """A copy of an empty trained `IndexIVF` on the device, which is to hold so many rows."""


class ProcessorDevice:
    """FAISS on the processor: the same calls and rounding as on a GPU, to try them without one."""

    name = "cpu"

    def memory(self) -> DeviceMemory | None:
        """As in `SearchDevice`."""
        return None

    def capacity(self) -> DeviceMemory | None:
        """As in `SearchDevice`."""
        return None

    def half_flat(self, dimension: int) -> Any:
        """As in `SearchDevice`."""
        faiss = _faiss()
        kind = faiss.ScalarQuantizer.QT_fp16
        return faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT)

    def train(self, lists: Any, sample: Vectors) -> None:
        """As in `SearchDevice`."""
        lists.train(sample)

    def lists(self, trained: Any, rows: int) -> Any:
        """As in `SearchDevice`."""
        return _faiss().clone_index(trained)


class CudaDevice:
    """A GPU by its number among those that CUDA shows this process."""

    def __init__(self, number: int = 0) -> None:
        self._number = number
        self._held: Any = None

    @property
    def name(self) -> str:
        """As in `SearchDevice`."""
        return f"cuda:{self._number}"

    def memory(self) -> DeviceMemory | None:
        """As in `SearchDevice`."""
        return cuda_memory(self._number)

    def capacity(self) -> DeviceMemory | None:
        """As in `SearchDevice`."""
        return cuda_capacity(self._number)

    def half_flat(self, dimension: int) -> Any:
        """As in `SearchDevice`."""
        faiss = _faiss()
        config = faiss.GpuIndexFlatConfig()
        config.device, config.useFloat16 = self._number, True
        return self._made(lambda resources: faiss.GpuIndexFlatIP(resources, dimension, config))

    def train(self, lists: Any, sample: Vectors) -> None:
        """As in `SearchDevice`; the device finds the nearest centroids, which is nearly all of the work."""
        faiss = _faiss()
        config = faiss.GpuIndexFlatConfig()
        config.device = self._number
        nearest = self._made(lambda resources: faiss.GpuIndexFlatIP(resources, lists.d, config))
        lists.clustering_index = nearest
        try:
            lists.train(sample)
        finally:
            lists.clustering_index = None

    def lists(self, trained: Any, rows: int) -> Any:
        """As in `SearchDevice`."""
        faiss = _faiss()
        options = faiss.GpuClonerOptions()
        # For product quantization alone: beyond 48 parts its tables fit a multiprocessor in float16 only.
        options.useFloat16 = True
        options.reserveVecs = rows
        return self._made(lambda held: faiss.index_cpu_to_gpu(held, self._number, trained, options))

    def _made(self, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of the resources of the device, which all indexes on it share."""
        if self._held is None:
            self._held = _faiss().StandardGpuResources()
            self._held.setTempMemory(TEMPORARY)
        try:
            return make(self._held)
        except Exception:
            # Resources whose first use failed, as where memory is out, count as begun and lack their memory.
            self._held = None
            raise


def find_device() -> tuple[SearchDevice | None, str]:
    """The first GPU that FAISS sees, or None; and why there is none, in words."""
    try:
        faiss = _faiss()
    except ImportError as error:
        return None, f"faiss cannot be imported ({error})"
    if not hasattr(faiss, "StandardGpuResources"):
        return None, "this faiss was built without GPU code: install faiss-gpu"
    try:
        count = faiss.get_num_gpus()
    except RuntimeError as error:
        return None, f"CUDA does not start: {one_line(error)}"
    return (CudaDevice(), "") if count else (None, "faiss sees no GPU")


def device_error(error: Exception) -> DeviceError:
    """What FAISS or CUDA raised, such as that memory is out, as a `DeviceError`."""
    return DeviceError(one_line(error))


def one_line(error: Exception) -> str:
    """The message of an error of FAISS in one line, without the signature and file that it begins with."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rsplit("failed: ", 1)[-1][:300]


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
