"""Memory that two processes map: model inputs leave a worker without a pipe or a pickle.

It is an anonymous file: it has no name, so it is freed with the last process that holds it, however that
ends, and the size of /dev/shm does not bound it. It is reused for every unit because fresh pages cost more
than the copy. Measured for 0.6 MB: 0.3 ms through shared memory, 1.1 ms through a pipe, 4.6 ms through a new
memory file; for 51 MB: 50, 400 and 370 ms.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from math import prod

import numpy as np
from numpy.typing import NDArray

# Bytes that are kept between units; more than this is returned to the system.
KEPT_BYTES = 64 << 20
_GRANULE = 1 << 20


class SharedArray:
    """One side of the shared memory; the other side opens the same descriptor."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _anonymous_file() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """An array uint8 [*shape] in the shared memory, with what the other side wrote there."""
        size = prod(shape)
        if size == 0:
            return np.zeros(shape, np.uint8)
        held = os.fstat(self.descriptor).st_size
        if held < size:
            held = -(-size // _GRANULE) * _GRANULE
            os.ftruncate(self.descriptor, held)
        if self._map is None or len(self._map) != held:
            self._map = mmap.mmap(self.descriptor, held)
        return np.frombuffer(self._map, np.uint8, size).reshape(shape)

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A copy of `array(shape)`; the memory is free for the next unit."""
        copy = np.array(self.array(shape))
        if os.fstat(self.descriptor).st_size > KEPT_BYTES:
            self._map = None
            os.ftruncate(self.descriptor, KEPT_BYTES)
        return copy

    def close(self) -> None:
        """Free the memory."""
        self._map = None
        os.close(self.descriptor)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("model-inputs", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # its name is gone as soon as it is open
        return os.dup(file.fileno())
