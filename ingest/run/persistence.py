"""A run survives a catalogue that is away or busy for a while: every call is repeated until it succeeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from medsiglip.index.errors import OUTAGES, CatalogError

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex

PATIENCE_S = 120.0
# Another writer may be at a long transaction: it holds the lock while it reads and writes files of a bucket.
_PASSING = OUTAGES | {"catalog-busy"}
_LOOK_EVERY_S = 0.25
_LONGEST_PAUSE_S = 5.0


def persistent(index: CaseIndex, check: Callable[[], None], *, patience_s: float = PATIENCE_S) -> CaseIndex:
    """The index, with each call repeated while the database is away or busy, `patience_s` seconds at most.
    `check` is called meanwhile, and may raise.

    A call may have been carried out when its connection was lost, so calls must be idempotent. All calls of
    an ingest are: what is in the index already is found there and left unchanged.
    """
    return cast("CaseIndex", _Persistent(index, check, patience_s))


class _Persistent:
    """The index, or one of its stores such as `index.files`."""

    def __init__(self, index: Any, check: Callable[[], None], patience_s: float) -> None:
        self._index = index
        self._check = check
        self._patience_s = patience_s

    def __getattr__(self, name: str) -> Any:
        if isinstance(getattr(type(self._index), name, None), cached_property):  # a store of the index
            return _Persistent(getattr(self._index, name), self._check, self._patience_s)
        # Reading a property may query the database too.
        found = self._persist(lambda: getattr(self._index, name))
        if not callable(found):
            return found
        return lambda *given, **named: self._persist(lambda: found(*given, **named))

    def _persist(self, call: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + self._patience_s
        pause = _LOOK_EVERY_S
        while True:
            try:
                return call()
            except CatalogError as error:
                if error.code not in _PASSING or time.monotonic() >= deadline:
                    raise
            self._wait(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, _LOOK_EVERY_S))
