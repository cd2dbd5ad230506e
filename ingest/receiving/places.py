"""How many associations are open in all processes of a receiver, and which AEs have them.

A place is a file that is locked as long as its association is open; the lock ends with the process, however
that ends. The file holds the AE title.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASSOCIATIONS = ".associations"


class Places:
    """The places of a receiver, in a folder that its processes share."""

    def __init__(self, incoming: Path, most: int, most_of_one: int) -> None:
        self._folder = incoming / ASSOCIATIONS
        self._most, self._most_of_one = most, most_of_one

    def prepare(self) -> None:
        """Make the folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self, ae_title: str) -> int | None:
        """The descriptor of a place, which is given back by closing it; None where there is none left, or
        none for this AE.
        """
        with self._locked():
            free, theirs = -1, 0
            try:
                for number in range(self._most):
                    place = self._open(number)
                    if not _lock(place):
                        theirs += os.pread(place, 64, 0) == ae_title.encode("utf-8")
                        os.close(place)
                    elif free < 0:
                        free = place
                    else:
                        os.close(place)
                    if theirs >= self._most_of_one:
                        break
                if free < 0 or theirs >= self._most_of_one:
                    return None
                os.ftruncate(free, 0)
                os.pwrite(free, ae_title.encode("utf-8"), 0)
                taken, free = free, -1
                return taken
            finally:
                if free >= 0:
                    os.close(free)

    def count(self) -> int:
        """How many associations are open now."""
        taken = 0
        with self._locked():
            for number in range(self._most):
                place = self._open(number)
                taken += not _lock(place)
                os.close(place)
        return taken

    def _open(self, number: int) -> int:
        return os.open(self._folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time counts: between looking and taking, another would."""
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
