"""The outcome of each file and a few thumbnails, collected for a report file only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.header.burned_in import may_preview
from medsiglip.ingest.reasons import Rejected

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.units.plan import Unit
    from medsiglip.ingest.workers.rendered_unit import RenderedUnit

THUMBNAIL_SIZE = 128
MAX_GROUPS = 24
MAX_THUMBNAILS_OF_GROUP = 8


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file: `outcome` is embedded, unchanged, skipped or quarantined; `images` were added by this run,
    `burned_in` is whether they may name the patient.
    """

    path: str
    outcome: str
    code: str = ""
    reason: str = ""
    modality: str = ""
    rendering: str = ""
    images: int = 0
    burned_in: str = ""


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
    """`lines` by path, `groups` by (modality, rendering). With `show_burned_in` there are also thumbnails of
    images whose pixels may identify the patient.
    """

    def __init__(self, *, show_burned_in: bool = False) -> None:
        self._show_burned_in = show_burned_in
        self.lines: dict[str, FileLine] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self._finished: dict[str, FileLine] = {}
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
            self.lines |= rendered.lines
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
            self.lines |= _lines(unit, counts, {})
            for file, count in counts.items():
                group = self.groups.setdefault((unit.headers[file].modality, ""), Group())
                group.images += count
                group.at_most |= unit.patches is not None

    def finish(
        self,
        index: CaseIndex,
        embedded: Collection[str],
        unchanged: Sequence[str],
        rejected: Iterable[Rejected],
    ) -> None:
        """Set the outcome of every file of the run. Files of earlier runs, as in watching, are kept; those of
        no run and what was not committed are dropped.
        """
        self._pending = []
        lines = {path: self.lines.get(path, FileLine(path, "embedded")) for path in embedded}
        owners = index.files.owners(unchanged)
        for path in unchanged:
            owner = owners.get(path)
            lines[path] = FileLine(path, "unchanged", modality=(owner and owner.modality) or "")
        for one in rejected:
            modality = self.lines[one.path].modality if one.path in self.lines else ""
            lines[one.path] = FileLine(one.path, one.outcome, one.code, one.reason, modality)
        self._finished |= lines
        self.lines = dict(sorted(self._finished.items()))

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
