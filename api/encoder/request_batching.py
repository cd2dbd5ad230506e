"""How the requests of many threads become batches: a bounded queue that knows what waits and what was sent.

A batch leaves as soon as the device has nothing to do, with whatever waits by then. A second one is sent
ahead only when it is full, so that the device never waits for this process and late requests still share a
pass. Requests that wait together take turns, item by item: a long one does not hold up short ones.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ItemError

Kind = Literal["image", "text", "patches"]
KINDS: tuple[Kind, ...] = ("image", "text", "patches")
# An item that was in flight at this many crashes fails.
MAX_CRASHES = 2
MAX_IN_FLIGHT = 2
Device = TypeVar("Device")


class Request:
    """What one caller wants encoded: images, by their place in shared memory, or token ids of texts; of
    `patches`, images whose every patch is wanted.

    `vectors` [n, d] is complete once `wait` returns.
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
        """Store the vector [d] of one item."""
        self.vectors[position] = vector
        self._left -= 1
        if not self._left:
            self._done.set()

    def fail(self, error: Exception) -> None:
        """End the call with an error."""
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

    def error_for_caller(self, error: Exception) -> Exception:
        """An error of this item with its position in the request instead of in the batch."""
        return error.at(self.position) if isinstance(error, ItemError) else error


@dataclass(slots=True, eq=False)
class Batch(Generic[Device]):
    """Items that pass through the model together on `device`, which began with them at `since` (by
    `time.monotonic`).
    """

    kind: Kind
    items: list[Item]
    device: Device
    since: float


@dataclass(slots=True)
class Counts:
    """Counts since the start. `sizes` counts batches by kind and number of items."""

    sizes: dict[Kind, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    seconds: float = 0.0
    refused: int = 0
    failed: int = 0


class BatchQueue(Generic[Device]):
    """At most `limit` items at once, waiting or sent. Safe for any number of threads.

    A batch is no larger than about `pass_seconds` of work, so that on a slow device no request waits long for
    a pass that has begun. `release` gets the places of images that are no longer needed.
    """

    def __init__(
        self, limit: int, release: Callable[[Iterable[int]], None], pass_seconds: float = 1.0
    ) -> None:
        self.limit = limit
        self.batch_size = 1
        self._pass_seconds = pass_seconds
        self._pace: dict[Kind, float] = {}
        self.counts = Counts()
        self._release = release
        self._changed = threading.Condition()
        self._requests: dict[Kind, deque[Request]] = {kind: deque() for kind in KINDS}
        self._suspects: deque[Item] = deque()
        self._in_flight: deque[Batch[Device]] = deque()
        self._held = 0
        self._last_kind: Kind = "text"
        self._device: Device | None = None
        self._is_open = True
        self._has_ended = False

    @property
    def held(self) -> int:
        """Items that wait or are being encoded."""
        return self._held

    @property
    def is_closed(self) -> bool:
        """Whether new requests are refused."""
        return not self._is_open

    def reserve(self, count: int, *, patient: bool) -> bool:
        """Reserve room for `count` items; whether there is any. With `patient`, wait for it until the queue
        closes.
        """
        with self._changed:
            while self._is_open and self._held + count > self.limit:
                if not patient:
                    self.counts.refused += 1
                    return False
                self._changed.wait()
            if self._is_open:
                self._held += count
            return self._is_open

    def put(self, request: Request) -> bool:
        """Add a request whose room is reserved; False when the queue has ended meanwhile."""
        with self._changed:
            if self._has_ended:
                self._give_back(request.waiting)
                return False
            self._requests[request.kind].append(request)
            self._changed.notify_all()
            return True

    @property
    def seconds_of_work(self) -> float:
        """An upper estimate of the time that all waiting items take: an image takes longer than a text."""
        return self._held * self._pace.get("image", 0.0)

    def resume(self, device: Device, batch_size: int, seconds: float) -> None:
        """Make batches for a device that is ready; one item alone took it `seconds`."""
        with self._changed:
            self._pace = self._pace or dict.fromkeys(KINDS, seconds)
            self._device = device
            self.batch_size = batch_size
            self._changed.notify_all()

    def take(self) -> Batch[Device] | None:
        """The next batch to send, which is then in flight; None at the end."""
        with self._changed:
            while (batch := self._next()) is None:
                if self._has_ended:
                    return None
                self._changed.wait()
            self._in_flight.append(batch)
            return batch

    def seconds_in_flight(self) -> float:
        """How long the device has been at its batch."""
        with self._changed:
            return time.monotonic() - self._in_flight[0].since if self._in_flight else 0.0

    def finish(self, vectors: NDArray[np.float32], failures: Mapping[int, Exception], seconds: float) -> None:
        """Deliver the batch that was sent first: `vectors` [n, d], and the errors of rows that have none."""
        with self._changed:
            batch = self._in_flight.popleft()
            self._learn(batch.kind, seconds / len(batch.items))
            if self._in_flight:
                self._in_flight[0].since = time.monotonic()
            self.counts.sizes[batch.kind][len(batch.items)] += 1
            self.counts.seconds += seconds
            self.counts.failed += len(failures)
            self._give_back(batch.items)
        for row, item in enumerate(batch.items):
            if row in failures:
                self._fail(item.request, item.error_for_caller(failures[row]))
            else:
                item.request.answer(item.position, vectors[row])

    def lose_device(self, error: Exception) -> None:
        """The device is gone: items in flight are sent again, each alone, or fail with `error`."""
        with self._changed:
            self._device = None
            items = [item for batch in self._in_flight for item in batch.items]
            self._in_flight.clear()
            for item in items:
                item.crashes += 1
            lost = [item for item in items if item.crashes >= MAX_CRASHES]
            self._suspects.extend(item for item in items if item.crashes < MAX_CRASHES)
            self._give_back(lost)
        for item in lost:
            self._fail(item.request, error)

    def fail_all(self, error: Exception) -> None:
        """End every waiting call with an error; nothing may be in flight."""
        with self._changed:
            requests = {item.request for item in self._suspects}
            requests.update(request for waiting in self._requests.values() for request in waiting)
        for request in requests:
            self._fail(request, error)

    def close(self, seconds: float) -> bool:
        """Refuse new requests; whether all accepted ones ended within `seconds`."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._held == 0, seconds)

    def end(self) -> None:
        """End the thread that takes batches, and refuse requests that are not yet queued."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _next(self) -> Batch[Device] | None:
        if self._device is None or len(self._in_flight) == MAX_IN_FLIGHT:
            return None
        if self._suspects:
            return None if self._in_flight else self._batch([self._suspects.popleft()])
        after_last = KINDS.index(self._last_kind) + 1
        for kind in KINDS[after_last:] + KINDS[:after_last]:
            waiting, size = self._requests[kind], self._size_of(kind)
            fills = sum(len(request.waiting) for request in waiting) >= size
            if waiting and (fills or not self._in_flight):
                self._last_kind = kind
                return self._batch(list(self._in_turns(waiting, size)))
        return None

    def _batch(self, items: list[Item]) -> Batch[Device]:
        assert self._device is not None
        return Batch(items[0].request.kind, items, self._device, time.monotonic())

    def _learn(self, kind: Kind, seconds: float) -> None:
        """Update the time per item: a slow pass may be the first of a device or a busy moment, so it counts
        less.
        """
        known = self._pace[kind]
        self._pace[kind] = seconds if seconds < known else known + (seconds - known) / 8

    def _size_of(self, kind: Kind) -> int:
        if kind == "patches":  # megabytes of answer for each
            return 1
        return min(self.batch_size, max(int(self._pass_seconds / max(self._pace[kind], 1e-9)), 1))

    def _in_turns(self, waiting: deque[Request], size: int) -> Iterable[Item]:
        for _ in range(size):
            if not waiting:
                return
            request = waiting.popleft()
            yield request.waiting.popleft()
            if request.waiting:
                waiting.append(request)

    def _fail(self, request: Request, error: Exception) -> None:
        with self._changed:
            suspects = [item for item in self._suspects if item.request is request]
            for item in suspects:
                self._suspects.remove(item)
            if request in self._requests[request.kind]:
                self._requests[request.kind].remove(request)
            self._give_back([*suspects, *request.waiting])
            request.waiting.clear()
        request.fail(error)

    def _give_back(self, items: Iterable[Item]) -> None:
        items = list(items)
        self._release(item.content for item in items if isinstance(item.content, int))
        self._held -= len(items)
        self._changed.notify_all()
