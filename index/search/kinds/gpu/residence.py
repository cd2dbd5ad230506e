"""Whether the rows of an index are on a device, and the thread that moves them there, in the background.

Searches go on meanwhile, on the host. All copies of an index have one residence: what is on the device is
found by stamps (`placement.py`), so that one copy uses what was moved for another.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import numpy as np

from medsiglip.index.info_records import MeasuredRecall
from medsiglip.index.search.kinds.gpu.device import DeviceClosedError, DeviceError, device_error
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.device_search import Host
from medsiglip.index.search.kinds.gpu.owner import DeviceOwner
from medsiglip.index.search.kinds.gpu.placement import Placement
from medsiglip.index.search.kinds.gpu.recipes import Recipe, number_of_lists, sampled_rows
from medsiglip.index.search.kinds.gpu.self_check import check_scores
from medsiglip.index.search.kinds.gpu.tuned_probes import RECALL, tune
from medsiglip.index.vectors import Ids, Vectors

_log = logging.getLogger(__name__)

APPENDED = 2048
"""Waiting rows from which on they are moved to the device."""
MOST_WAITING = 4 * APPENDED
"""Up to so many rows that wait are compared on the host beside those on the device."""
# Slots are made anew when this part of them are tombstones.
_TOMBSTONES = 0.25
# Rows that are moved at a time; searches come in between.
_CHUNK = 65_536
# A device that failed is tried again after so many seconds, and after twice as many each time that it fails
# again, an hour at most: what fails may be known only when all rows have been moved.
_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0
# Lists are learnt anew when there are so many times more rows.
_GROWTH = 4


class Residence:
    """`rows` are on the device, or None with the `reason`. An index of fewer than `least` rows stays on the
    host. `owner` is None where there is no device. `recall` is that of lists when they were made, and
    `approximate` counts answers that are so.
    """

    def __init__(self, recipe: Recipe, owner: DeviceOwner | None, reason: str, least: int) -> None:
        self.recipe, self.owner, self.least = recipe, owner, least
        self.rows: DeviceRows | None = None
        self.reason = reason
        self.recall: MeasuredRecall | None = None
        self.approximate = 0
        self._lock = threading.Lock()
        self._next_stamp = 0
        self._version = 0
        self._mover: threading.Thread | None = None
        self._again = 0.0
        self._failures = 0
        self._trained: Any = None
        self._trained_rows = 0

    def stamps(self, count: int) -> Ids:
        """New stamps, ascending, int64 [count]."""
        with self._lock:
            first = self._next_stamp
            self._next_stamp += count
        return np.arange(first, first + count)

    def changed(self) -> int:
        """The version of an index that has just changed; of all copies it is the newest."""
        with self._lock:
            self._version += 1
            return self._version

    def wants(self, version: int, count: int, placement: Placement | None) -> bool:
        """Whether something is to be moved for an index of this version, of `count` rows that are placed so.
        Not for an older one, which only searches that began with it still use.
        """
        if self.owner is None or self._mover is not None or count < self.least or version != self._version:
            return False
        if self.rows is None:
            return time.monotonic() >= self._again
        return placement is not None and (len(placement.waiting) >= APPENDED or _is_worn(placement))

    def move(self, host: Host, stamps: Ids) -> None:
        """Begin to move rows to the device, or those that wait; nobody changes `host` from now on."""
        with self._lock:
            if self._mover is None and len(stamps):
                self._mover = threading.Thread(
                    target=self._moved, args=(host, stamps), name="index-device-rows", daemon=True
                )
                try:
                    self._mover.start()
                except RuntimeError as error:  # of a process that may have no more threads
                    self._mover = None
                    self.give_up(device_error(error))

    def settle(self) -> None:
        """Wait until nothing is being moved."""
        mover = self._mover
        if mover is not None:
            mover.join()

    def give_up(self, error: DeviceError, rows: DeviceRows | None = None) -> None:
        """Let go of the device for a while; searches go on on the host. Not for an error of `rows` that have
        been made anew since.
        """
        if rows is not None and rows is not self.rows:
            return
        self.rows = None
        self.reason = str(error)
        if isinstance(error, DeviceClosedError):
            return  # at the end of the process
        self._again = time.monotonic() + min(_PAUSE * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        _log.warning("The search index is not on the device, but on the processor: %s", self.reason)

    # In the background

    def _moved(self, host: Host, stamps: Ids) -> None:
        assert self.owner is not None
        try:
            placement = None if self.rows is None else Placement.of(stamps, self.rows.stamps)
            if self.rows is None or placement is None or _is_worn(placement):
                self._make(self.owner, host, stamps)
            else:
                self._append(self.rows, host, stamps, placement.waiting)
        except DeviceError as error:
            self.give_up(error)
        except Exception as error:
            # Whatever it is: the host has every row and answers.
            self.give_up(device_error(error))
        finally:
            self._mover = None

    def _make(self, owner: DeviceOwner, host: Host, stamps: Ids) -> None:
        count, dimension = len(stamps), host.rows(host.ids[:1]).shape[1]
        self._check(owner, count, dimension)
        trained = self._lists(owner, host, count, dimension)
        rows = DeviceRows(owner, self.recipe, dimension, trained, count)
        self._append(rows, host, stamps, np.arange(count))
        if self.recipe.proves:
            check_scores(rows, host, stamps)
        if trained is not None:
            recall = tune(rows, host, stamps)
            if recall.least < RECALL:
                raise DeviceError(
                    f"{rows.spec} finds {recall.least:.4f} of the nearest only, all lists probed"
                )
            self.recall = recall
        self.rows, self.reason, self._failures = rows, "", 0

    def _check(self, owner: DeviceOwner, count: int, dimension: int) -> None:
        """Raises `DeviceError` where so many rows do not fit; older rows are let go of if then they do."""
        need = self.recipe.need(count, dimension)
        memory = owner.call(owner.device.memory)
        if not need.fits(memory) and self.rows is not None:
            self.rows = None
            memory = owner.call(owner.device.memory)
        if memory is not None and not need.fits(memory):
            raise DeviceError(need.message(owner.device.name, memory))

    def _lists(self, owner: DeviceOwner, host: Host, count: int, dimension: int) -> Any:
        make = self.recipe.make
        if make is None:
            return None
        if self._trained is None or count >= _GROWTH * self._trained_rows:
            lists = make(dimension, number_of_lists(count))
            sample = _spread(host, min(count, sampled_rows(lists.nlist)))
            # Searches of older rows would wait for it.
            self.rows = None
            owner.call(lambda: owner.device.train(lists, sample))
            self._trained, self._trained_rows = lists, count
        return self._trained

    def _append(self, rows: DeviceRows, host: Host, stamps: Ids, places: Ids) -> None:
        ids = host.ids
        for start in range(0, len(places), _CHUNK):
            few = places[start : start + _CHUNK]
            rows.append(stamps[few], host.rows(ids[few]))


def _is_worn(placement: Placement) -> bool:
    return placement.tombstones > _TOMBSTONES * len(placement.place_of)


def _spread(host: Host, count: int) -> Vectors:
    ids = host.ids
    return host.rows(ids[np.linspace(0, len(ids) - 1, count).astype(np.int64)])
