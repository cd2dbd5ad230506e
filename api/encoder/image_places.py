"""Places for model inputs in memory that the encoder's process maps too: what is put there is copied once,
by the thread that brings it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.workers.shared_array import Slot


class ImagePlaces:
    """`count` places for model inputs uint8 [size, size, 3]; memory is taken when a place is first used."""

    def __init__(self, count: int, size: int, descriptor: int | None = None) -> None:
        self._slot = Slot(descriptor)
        self.count = count
        self.array: NDArray[np.uint8] = self._slot.array((count, size, size, 3))
        # The place freed last is used next: its pages are there already.
        self._free = list(range(count - 1, -1, -1))

    @property
    def descriptor(self) -> int:
        """What the other process opens the same memory by."""
        return self._slot.descriptor

    def put(self, images: Iterable[NDArray[np.uint8]]) -> list[int]:
        """Copy each image to a free place; there must be as many."""
        taken = []
        for image in images:
            place = self._free.pop()
            self.array[place] = image
            taken.append(place)
        return taken

    def release(self, places: Iterable[int]) -> None:
        """Free places for other images."""
        self._free.extend(places)

    def at(self, places: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The images that are there, not copied."""
        return [self.array[place] for place in places]

    def close(self) -> None:
        """Let go of the memory, once the last array of it is gone."""
        self._slot.close()
