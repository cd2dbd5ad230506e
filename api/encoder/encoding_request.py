"""What one caller wants encoded, and the items that it consists of on their way through shared batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ItemError

Kind = Literal["image", "text"]
KINDS: tuple[Kind, Kind] = ("image", "text")


class Request:
    """What one caller wants encoded: images, by their place in shared memory, or token ids of texts.

    `vectors` [n, d] is whole once `wait` returns.
    """

    def __init__(self, kind: Kind, contents: Sequence[int] | NDArray[np.int64], dimension: int) -> None:
        self.kind = kind
        self.waiting = deque(Item(self, i, content) for i, content in enumerate(contents))
        self.vectors = np.empty((len(contents), dimension), np.float32)
        self.error: Exception | None = None
        self._left = len(contents)
        self._done = threading.Event()

    def wait(self) -> NDArray[np.float32]:
        """The vectors, once they are there. Raises the error of the first item that failed."""
        self._done.wait()
        if self.error is not None:
            raise self.error
        return self.vectors

    def answer(self, position: int, vector: NDArray[np.float32]) -> None:
        """Take in the vector [d] of one item."""
        self.vectors[position] = vector
        self._left -= 1
        if not self._left:
            self._done.set()

    def fail(self, error: Exception) -> None:
        """Let the caller go with an error."""
        if not self._done.is_set():
            self.error = error
            self._done.set()


@dataclass(slots=True, eq=False)
class Item:
    """One image or text; `crashes` counts how often the encoder ended while it was being encoded."""

    request: Request
    position: int
    content: int | NDArray[np.int64]
    crashes: int = 0

    def as_told(self, error: Exception) -> Exception:
        """An error of this item in the words of its caller, who knows it by another place than its batch."""
        return error.at(self.position) if isinstance(error, ItemError) else error
