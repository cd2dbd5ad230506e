"""The one thread that uses a device: it serves batches of searches, and all else between two of them.

Indexes of FAISS on a GPU are not safe for two threads (faiss/gpu wiki, and issues 367 and 985). Whoever wants
something of the device leaves it with the owner and waits. Searches that came while the device was busy go to
it together; nothing waits while it is idle.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import numpy as np

from medsiglip.index.search.kinds.gpu.device import DeviceClosedError, DeviceError, SearchDevice, device_error
from medsiglip.index.vectors import Ids, Vectors

Result = TypeVar("Result")
MOST_QUERIES = 1024
"""Queries of one call of the device."""
# An idle owner's thread ends after so long, and begins again with the next work.
_IDLE_SECONDS = 30.0


class Searchable(Protocol):
    """Rows on a device; only the owner calls `find`."""

    def find(self, queries: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """Scores and slots [q, min(fetch, rows)], best first; slot -1 where there are fewer."""


@dataclass(eq=False)
class _Work:
    """Something to do; `rows` is None for what is no search."""

    run: Callable[[], Any]
    rows: Searchable | None = None
    queries: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    fetch: int = 0
    result: Any = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class DeviceOwner:
    """Safe for several threads. `batches` counts calls of the device for searches, `requests` what they
    answered.
    """

    def __init__(self, device: SearchDevice) -> None:
        self.device = device
        self.batches = self.requests = 0
        self._waiting: deque[_Work] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        _OPEN.add(self)

    def search(self, rows: Searchable, queries: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """`rows.find(queries, fetch)`, perhaps together with the queries of other threads.

        Raises `DeviceError` when the device cannot, for this request alone.
        """
        found: tuple[Vectors, Ids] = self._waited_for(
            _Work(lambda: rows.find(queries, fetch), rows, queries, fetch)
        )
        return found

    def call(self, run: Callable[[], Result]) -> Result:
        """What `run` returns, in the owner's thread; raises `DeviceError` for what FAISS raised."""
        result: Result = self._waited_for(_Work(run))
        return result

    def release(self, held: list[Any]) -> None:
        """Let the owner's thread drop what is in a list, in which memory of the device is freed."""
        with self._changed:
            if self._closed:
                return
            with suppress(DeviceError):  # dropped with the list then
                self._put(_Work(held.clear))

    def close(self) -> None:
        """End the thread after what it does now; what waits gets an error, as does all that comes later."""
        with self._changed:
            self._closed = True
            thread, left = self._thread, list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for work in left:
            work.error = DeviceClosedError("the device was closed")
            work.done.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _waited_for(self, work: _Work) -> Any:
        with self._changed:
            if self._closed:
                raise DeviceClosedError("the device was closed")
            self._put(work)
        work.done.wait()
        if work.error is not None:
            raise work.error
        return work.result

    def _put(self, work: _Work) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="index-device", daemon=True)
            try:
                thread.start()  # it waits for the lock
            except RuntimeError as error:  # of a process that may have no more threads
                raise device_error(error) from error
            self._thread = thread
        self._waiting.append(work)
        self._changed.notify_all()

    # In the owner's thread

    def _serve(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            if batch[0].rows is None:
                self._run(batch[0])
            else:
                self._search(batch)
            del batch  # or the last answer would be held while nothing is asked

    def _next(self) -> list[_Work]:
        """The next work; searches of the same rows that wait come together. Nothing at the end."""
        with self._changed:
            while not self._waiting:
                is_idle = not self._closed and not self._changed.wait(_IDLE_SECONDS)
                # Work may have come after the time was over, to a thread that still seemed to wait.
                if self._closed or (is_idle and not self._waiting):
                    self._thread = None
                    return []
            first = self._waiting.popleft()
            batch, count = [first], len(first.queries)
            if first.rows is not None:
                # A copy: garbage that is collected here may leave work of its own.
                for other in [one for one in tuple(self._waiting) if one.rows is first.rows]:
                    if count + len(other.queries) > MOST_QUERIES:
                        break
                    self._waiting.remove(other)
                    batch.append(other)
                    count += len(other.queries)
            return batch

    def _search(self, batch: list[_Work]) -> None:
        rows, fetch = batch[0].rows, max(work.fetch for work in batch)
        assert rows is not None
        self.batches += 1
        self.requests += len(batch)
        try:
            scores, slots = rows.find(np.concatenate([work.queries for work in batch]), fetch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = _as_device_error(error)
                batch[0].done.set()
                return
            # A request that the device cannot serve is no reason to refuse the others.
            for work in batch:
                self._run(work)
            return
        start = 0
        for work in batch:
            end = start + len(work.queries)
            work.result = scores[start:end, : work.fetch], slots[start:end, : work.fetch]
            work.done.set()
            start = end

    def _run(self, work: _Work) -> None:
        try:
            work.result = work.run()
        except Exception as error:
            work.error = _as_device_error(error)
        work.done.set()


def _as_device_error(error: Exception) -> DeviceError:
    return error if isinstance(error, DeviceError) else device_error(error)


_OPEN: WeakSet[DeviceOwner] = WeakSet()
_SHARED: dict[str, DeviceOwner] = {}
_LOCK = threading.Lock()


def owner_of(device: SearchDevice) -> DeviceOwner:
    """The owner of a device in this process: all indexes on it have the same."""
    with _LOCK:
        if device.name not in _SHARED:
            _SHARED[device.name] = DeviceOwner(device)
        return _SHARED[device.name]


@atexit.register
def _close_all() -> None:
    """Before the driver is unloaded, which must not happen under a thread that uses it."""
    for owner in list(_OPEN):
        owner.close()
