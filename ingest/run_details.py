"""What a run did with each file, and a few of the pictures that went in: gathered only for a report file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.burned_in import may_preview
from ingest.reasons import Rejected

if TYPE_CHECKING:
    from index.case_index import CaseIndex
    from ingest.drawn_unit import DrawnUnit
    from ingest.plan import Unit

THUMBNAIL_SIZE = 128
MAX_GROUPS = 24
MAX_THUMBNAILS_OF_GROUP = 8


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file: `outcome` is embedded, unchanged, skipped or quarantined; `images` went in with this run."""

    path: str
    outcome: str
    code: str = ""
    reason: str = ""
    modality: str = ""
    rendering: str = ""
    images: int = 0


@dataclass(slots=True)
class Group:
    """The images of one modality and rendering; `thumbnails` are uint8 [128, 128, 3], a bounded number.

    `withheld` counts images that were not shown because their pixels may say who the patient is.
    """

    images: int = 0
    withheld: int = 0
    thumbnails: list[NDArray[np.uint8]] = field(default_factory=list)


class RunDetails:
    """`lines` by path, `groups` by (modality, rendering). With `show_burned_in`, pictures are shown whatever
    their pixels may say.
    """

    def __init__(self, *, show_burned_in: bool = False) -> None:
        self._show_burned_in = show_burned_in
        self.lines: dict[str, FileLine] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self._finished: dict[str, FileLine] = {}

    def add_drawn(self, unit: Unit, drawn: DrawnUnit) -> None:
        """Take in a unit that was drawn."""
        counts = dict.fromkeys(range(len(unit.headers)), 0)
        renderings: dict[int, str] = {}
        shown: list[int] = []
        for number, image in enumerate(drawn.images):
            header = unit.headers[image.slice.file]
            counts[image.slice.file] += 1
            renderings[image.slice.file] = image.rendering
            group = self.groups.setdefault((header.modality, image.rendering), Group())
            group.images += 1
            if self._show_burned_in or may_preview(header.quality):
                shown.append(number)
            else:
                group.withheld += 1
        if shown:  # one of a unit, from its middle, so that one long series does not fill the page
            middle = shown[len(shown) // 2]
            image = drawn.images[middle]
            modality = unit.headers[image.slice.file].modality
            self._show(modality, image.rendering, drawn.inputs[middle])
        self._add_files(unit, counts, renderings)

    def foresee(self, units: Iterable[Unit]) -> None:
        """Take in units that would be drawn."""
        for unit in units:
            counts = dict.fromkeys(range(len(unit.headers)), 0)
            for item in unit.slices:
                counts[item.file] += 1
            self._add_files(unit, counts, {})
            for file, count in counts.items():
                self.groups.setdefault((unit.headers[file].modality, ""), Group()).images += count

    def finish(
        self,
        index: CaseIndex,
        embedded: Collection[str],
        unchanged: Sequence[str],
        rejected: Iterable[Rejected],
    ) -> None:
        """Give every file of the run its outcome; drop those that are neither of this run nor of one before
        it, as watching makes one after the other.
        """
        lines = {path: self.lines.get(path, FileLine(path, "embedded")) for path in embedded}
        owners = index.owners(unchanged)
        for path in unchanged:
            owner = owners.get(path)
            lines[path] = FileLine(path, "unchanged", modality=(owner and owner.modality) or "")
        for one in rejected:
            modality = self.lines[one.path].modality if one.path in self.lines else ""
            lines[one.path] = FileLine(one.path, one.outcome, one.code, one.reason, modality)
        self._finished |= lines
        self.lines = dict(sorted(self._finished.items()))

    def _add_files(self, unit: Unit, counts: dict[int, int], renderings: dict[int, str]) -> None:
        for file, header in enumerate(unit.headers):
            self.lines[header.path] = FileLine(
                header.path,
                "embedded",
                modality=header.modality,
                rendering=renderings.get(file, ""),
                images=counts[file],
            )

    def _show(self, modality: str, rendering: str, pixels: NDArray[np.uint8]) -> None:
        from PIL import Image

        group = self.groups[modality, rendering]
        filled = sum(1 for other in self.groups.values() if other.thumbnails)
        is_full = len(group.thumbnails) >= MAX_THUMBNAILS_OF_GROUP
        if is_full or (not group.thumbnails and filled >= MAX_GROUPS):
            return
        size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
        small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        group.thumbnails.append(np.asarray(small, np.uint8))
