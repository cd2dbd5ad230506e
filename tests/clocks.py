"""A clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """In seconds; it stands until `now` is set."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
