"""The outcome of each file and a few thumbnails, collected for a report file only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.scratch import portions
from medsiglip.ingest.header.burned_in import may_preview
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.run.file_lines import FileLine, FileLines

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.units.plan import Unit
    from medsiglip.ingest.workers.rendered_unit import RenderedUnit

THUMBNAIL_SIZE = 128
MAX_GROUPS = 24
MAX_THUMBNAILS_OF_GROUP = 8


@dataclass(slots=True)
class Group:
    """The images of one modality and rendering; `thumbnails` are uint8 [128, 128, 3], a bounded number.

    `withheld` counts images without a thumbnail because their pixels may identify the patient. With `at_most`
    the number is the most that there can be.
    """

    images: int = 0
    at_most: bool = False
    withheld: int = 0
    thumbnails: list[NDArray[np.uint8]] = field(default_factory=list)


@dataclass(slots=True)
class _Rendered:
    """What a rendered unit adds when it is committed; each group has at most one thumbnail."""

    lines: dict[str, FileLine]
    groups: dict[tuple[str, str], Group]


class RunDetails:
    """`lines` by path, whole when the run has ended; `groups` by (modality, rendering). With `show_burned_in`
    there are also thumbnails of images whose pixels may identify the patient.

    What is held in memory grows with the files that are new to the index, not with those it holds.
    """

    def __init__(self, *, show_burned_in: bool = False) -> None:
        self._show_burned_in = show_burned_in
        self.lines = FileLines()
        self.groups: dict[tuple[str, str], Group] = {}
        self._new: dict[str, FileLine] = {}
        self._pending: list[_Rendered] = []

    def add_rendered(self, unit: Unit, rendered: RenderedUnit) -> None:
        """Add a rendered unit; it counts when `commit` is called."""
        groups: dict[tuple[str, str], Group] = {}
        counts = dict.fromkeys(range(len(unit.headers)), 0)
        renderings: dict[int, str] = {}
        shown: list[int] = []
        for number, image in enumerate(rendered.images):
            header = unit.headers[image.slice.file]
            counts[image.slice.file] += 1
            renderings[image.slice.file] = image.rendering
            group = groups.setdefault((header.modality, image.rendering), Group())
            group.images += 1
            if self._show_burned_in or may_preview(header.quality):
                shown.append(number)
            else:
                group.withheld += 1
        if shown:  # only the middle one, so that a long series does not fill the page
            middle = shown[len(shown) // 2]
            image = rendered.images[middle]
            key = unit.headers[image.slice.file].modality, image.rendering
            if self._has_room(key):
                groups[key].thumbnails.append(_small(rendered.inputs[middle]))
        self._pending.append(_Rendered(_lines(unit, counts, renderings), groups))

    def commit(self) -> None:
        """Count what was added: it is in the index now."""
        for rendered in self._pending:
            self._new |= rendered.lines
            for key, more in rendered.groups.items():
                thumbnails = more.thumbnails if self._has_room(key) else []
                group = self.groups.setdefault(key, Group())
                group.images += more.images
                group.withheld += more.withheld
                group.thumbnails += thumbnails
        self._pending = []

    def stop(self, index: CaseIndex, embedded: Collection[str]) -> None:
        """End a stopped run: of the added units only those in the index count."""
        self._pending = [
            rendered for rendered in self._pending if not rendered.lines.keys().isdisjoint(embedded)
        ]
        self.commit()
        self.finish(index, embedded, (), ())

    def add_planned(self, units: Iterable[Unit]) -> None:
        """Add the units of a dry run. The patches of a slide are those of its first file that is no label."""
        for unit in units:
            counts = dict.fromkeys(range(len(unit.headers)), 0)
            for item in unit.slices:
                counts[item.file] += 1
            if unit.patches is not None:
                counts = {file: int(header.slide_label) for file, header in enumerate(unit.headers)}
                levels = [file for file, header in enumerate(unit.headers) if not header.slide_label]
                for file in levels[:1]:
                    counts[file] = unit.max_images - sum(counts.values())
            self._new |= _lines(unit, counts, {})
            for file, count in counts.items():
                group = self.groups.setdefault((unit.headers[file].modality, ""), Group())
                group.images += count
                group.at_most |= unit.patches is not None

    def finish(
        self,
        index: CaseIndex,
        embedded: Collection[str],
        unchanged: Iterable[str],
        rejected: Iterable[Rejected],
    ) -> None:
        """Set the outcome of every file of the run. Files of earlier runs, as in watching, are kept; those of
        no run and what was not committed are dropped.
        """
        self._pending = []
        self.lines.put([self._known(path) or FileLine(path, "embedded") for path in embedded])
        for portion in portions(unchanged):
            owners = index.files.owners(portion)
            modalities = {path: owner.modality or "" for path, owner in owners.items()}
            self.lines.put([FileLine(p, "unchanged", modality=modalities.get(p, "")) for p in portion])
        refused = []
        for one in rejected:
            known = self._known(one.path)
            modality = known.modality if known else ""
            refused.append(FileLine(one.path, one.outcome, one.code, one.reason, modality))
        self.lines.put(refused)
        self._new = {}

    def _known(self, path: str) -> FileLine | None:
        """The line of a file that was committed, by this run or one before."""
        return self._new.get(path) or self.lines.get(path)

    def _has_room(self, key: tuple[str, str]) -> bool:
        """Whether a group may show one more thumbnail."""
        group = self.groups.get(key)
        if group is not None and group.thumbnails:
            return len(group.thumbnails) < MAX_THUMBNAILS_OF_GROUP
        return sum(1 for other in self.groups.values() if other.thumbnails) < MAX_GROUPS


def _lines(unit: Unit, counts: dict[int, int], renderings: dict[int, str]) -> dict[str, FileLine]:
    return {
        header.path: FileLine(
            header.path,
            "embedded",
            modality=header.modality,
            rendering=renderings.get(file, ""),
            images=counts[file],
            burned_in=str(header.quality.get("burned_in", "")),
        )
        for file, header in enumerate(unit.headers)
    }


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.uint8)
