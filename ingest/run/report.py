"""What a run did with every file, and its progress while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from medsiglip.ingest.reasons import Rejected


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Every file is one of embedded, unchanged, skipped, quarantined; `embedded` and `unchanged` count
    images.

    `studies`, `series`, `instances` and `images` count what the paths of this run hold in the index. A
    `dry_run` tells what would be: files that turn out to be undecodable are still among the embedded.
    """

    files: int
    files_embedded: int
    files_unchanged: int
    studies: int
    series: int
    instances: int
    images: int
    embedded: int
    unchanged: int
    skipped: tuple[Rejected, ...]
    quarantined: tuple[Rejected, ...]
    warnings: tuple[str, ...]
    space: str
    seconds: float
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object of the command line's `ingest`."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("skipped", "quarantined"):
            values[name] = [{"path": r.path, "code": r.code, "reason": r.reason} for r in getattr(self, name)]
        if not self.dry_run:
            del values["dry_run"]
        return {**values, "warnings": list(self.warnings), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run: files `done` of `total` (None while unknown), files per second, seconds left (None:
    unknown).

    Stages follow each other: `walk`, `scan`, `embed`. `images` counts the vectors committed so far.
    """

    stage: Literal["walk", "scan", "embed"]
    done: int
    total: int | None
    rate: float = 0.0
    seconds_left: float | None = None
    images: int = 0


OnProgress = Callable[[Progress], None]
