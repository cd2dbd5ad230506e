"""What a hit, a row or a query stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.records import Level

LEVELS: tuple[Level, ...] = ("image", "series", "study")


def level_named(level: str) -> Level:
    """Check a level given as text. Raises ServiceError `bad-level`."""
    for known in LEVELS:
        if known == level:
            return known
    raise ServiceError("bad-level", f"there is no level {level!r}: choose image, series or study.")
