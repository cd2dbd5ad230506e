"""Which files are rendered together, and which of their frames: units of work, each a whole series or a
single file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.slice_place import SlicePlace
from medsiglip.ingest.units.mosaic import tile_region
from medsiglip.ingest.units.sampling import sample_evenly, sample_stacks
from medsiglip.ingest.units.stacks import plane_of, stacks_of

Drawing = Literal["model", "display", "thumbnail"]
"""What is drawn of an image: what the model takes, what people read (CT grey by its window, all else the
same), or a thumbnail of that.
"""
MAX_SLICES = 85  # MedGemma 1.5 itself takes at most 85 slices of a volume
MAX_PATCHES = 512  # of a slide: 300 MB of model inputs at 448 x 448
_SLIDE_PATCH = re.compile(r"slide-([0-9]{1,4}(?:\.[0-9]{1,4})?)x")
_BYTES_PER_FRAME_GUESS = 1 << 20
_BYTES_PER_SLIDE_GUESS = 128 << 20


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """`max_slices` None means all of a series or a file; `magnification` is that of slide patches (5, 10,
    20), `max_patches` how many of a slide are rendered; `older_hashes` asks for the pixel hashes of earlier
    versions beside those of this one.
    """

    max_slices: int | None = MAX_SLICES
    magnification: float = 10.0
    max_patches: int = MAX_PATCHES
    older_hashes: bool = False
    drawing: Drawing = "model"


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels: of a frame (a tile of a mosaic), or of the total pixel matrix of a slide."""

    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class PatchOptions:
    """How a slide is rendered: the nominal magnification and the maximal number of its patches."""

    magnification: float
    max_patches: int


@dataclass(frozen=True, slots=True)
class Slice:
    """One image to render: a frame of `Unit.headers[file]`, or a region of it; `slice_index` counts in
    anatomical order before sampling.

    Images of one file differ in `frame`: where regions are rendered, it counts these. Slices of one
    `contrast` share their percentiles. `warnings` are codes of `medsiglip.ingest.units.stacks.WARNINGS` about
    the stack that the slice belongs to.
    """

    file: int
    frame: int
    slice_index: int | None
    region: Region | None = None
    contrast: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """What is rendered and committed as a whole. `whole_series` says that percentiles are taken over all
    slices. A slide has `patches` instead of `slices`: which of them hold tissue is seen when it is rendered.
    With `replace_series` it takes the place of what the index holds of the series, but for the instances
    `beside` it, by UID and pixel hash: of those that are `replaced`, not of what was added since they were
    looked up; `new` are then the paths that the index does not hold. `older_hashes` and `drawing` as in
    `PlanOptions`.
    """

    headers: tuple[Header, ...]
    slices: tuple[Slice, ...]
    whole_series: bool = False
    replace_series: bool = False
    orientation: str | None = None
    patches: PatchOptions | None = None
    beside: frozenset[tuple[str, str]] = frozenset()
    replaced: frozenset[tuple[str, str]] | None = None
    new: frozenset[str] = frozenset()
    older_hashes: bool = False
    drawing: Drawing = "model"

    @property
    def max_images(self) -> int:
        """The most images that rendering this unit can give."""
        if self.patches is None:
            return len(self.slices)
        labels = sum(header.slide_label for header in self.headers)
        return labels + (self.patches.max_patches if labels < len(self.headers) else 0)

    def memory(self, image_size: int) -> int:
        """An estimate of the bytes that rendering this unit takes: its files (those of a slide are not read
        as a whole), one decoded frame, and its model inputs.
        """
        held = _BYTES_PER_SLIDE_GUESS if self.patches else sum(map(_bytes_held, self.headers))
        return held + _BYTES_PER_FRAME_GUESS + self.max_images * image_size**2 * 3


def _bytes_held(header: Header) -> int:
    """An estimate of the memory of a file; a volume file may be compressed as a whole."""
    if header.kind != "volume":
        return header.size
    bits = float(header.quality.get("bits_stored", 16.0))
    return max(header.size, int(header.rows * header.columns * header.number_of_frames * bits / 8))


def magnification_of(renderings: Iterable[str]) -> float:
    """The magnification that the patches of a slide were drawn at, which their rendering names (`slide-20x`);
    the usual one where none does.
    """
    for rendering in renderings:
        found = _SLIDE_PATCH.fullmatch(rendering)
        if found is not None:
            return float(found[1])
    return PlanOptions().magnification


def plan(headers: Iterable[Header], options: PlanOptions | None = None) -> list[Unit]:
    """Group headers into units, in order of their first files.

    CT, MR and PET files of a series are one unit, their slices in anatomical order, stack by stack; so are
    the whole slide images of a series, levels of one slide; every other file is its own. More than
    `max_slices` slices or frames are sampled, see `medsiglip.ingest.units.sampling`.
    """
    options = options or PlanOptions()
    groups: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        together = header.is_volume or header.is_slide
        series = (header.study_instance_uid, header.series_instance_uid, "slide" if header.is_slide else "")
        groups.setdefault(series if together else (header.path,), []).append(header)
    return [
        plan_series(members, options)
        if members[0].is_volume or members[0].is_slide
        else _plan_file(members[0], options)
        for members in groups.values()
    ]


def plan_series(headers: Sequence[Header], options: PlanOptions, *, replace_series: bool = False) -> Unit:
    """One unit of all files of a CT, MR or PET series, of one frame or of many, or mosaics; or of a slide."""
    ordered = sorted(headers, key=lambda h: (h.sop_instance_uid, h.path))
    if ordered[0].is_slide:
        patches = PatchOptions(options.magnification, options.max_patches)
        return Unit(
            tuple(ordered),
            (),
            whole_series=True,
            replace_series=replace_series,
            patches=patches,
            older_hashes=options.older_hashes,
            drawing=options.drawing,
        )
    placed = [(file, *run) for file, header in enumerate(ordered) for run in _placed_frames(header)]
    stacks = stacks_of([place for _, place, _ in placed])
    ends = [list(accumulate(len(placed[member][2]) for member in stack.members)) for stack in stacks]
    chosen = sample_stacks([end[-1] for end in ends], [s.contrast for s in stacks], options.max_slices)
    slices: list[Slice] = []
    before = 0
    for stack, end, indices in zip(stacks, ends, chosen, strict=True):
        for i in indices:
            member = bisect_right(end, i)
            file, _, frames = placed[stack.members[member]]
            frame = frames[i - end[member]]
            region = _tile(ordered[file], frame)
            slices.append(Slice(file, frame, before + i, region, stack.contrast, stack.warnings))
        before += end[-1]
    first = ordered[placed[stacks[0].members[0]][0]]
    return Unit(
        tuple(ordered),
        tuple(slices),
        whole_series=True,
        replace_series=replace_series,
        orientation=plane_of(first.orientation),
        older_hashes=options.older_hashes,
        drawing=options.drawing,
    )


def _placed_frames(header: Header) -> list[tuple[SlicePlace, range]]:
    """The place of each image of a file. Frames without a place in the header stay together in stored order,
    as one range: a header may state any number of them.
    """
    count = header.tiles or header.number_of_frames
    if len(header.frames) == count:
        return [(place, range(i, i + 1)) for i, place in enumerate(header.frames)]
    return [(SlicePlace(None, None, None, ("unplaced", header.path)), range(count))]


def _tile(header: Header, tile: int) -> Region | None:
    place = tile_region(tile, header.tiles, header.rows, header.columns) if header.tiles else None
    return None if place is None else Region(*place)


def _plan_file(header: Header, options: PlanOptions) -> Unit:
    """One unit of a single file. The frames of a volume file are the slices of its volumes, one volume
    after the other; those of any other file have no anatomical order.
    """
    orientation = plane_of(header.orientation)
    if header.kind != "volume":
        frames = sample_evenly(header.number_of_frames, options.max_slices)
        return Unit(
            (header,),
            tuple(Slice(0, f, None) for f in frames),
            orientation=orientation,
            older_hashes=options.older_hashes,
            drawing=options.drawing,
        )
    size = header.number_of_frames // header.volumes
    chosen = sample_stacks([size] * header.volumes, [0] * header.volumes, options.max_slices)
    slices = [volume * size + i for volume, indices in enumerate(chosen) for i in indices]
    return Unit(
        (header,),
        tuple(Slice(0, f, f) for f in slices),
        orientation=orientation,
        drawing=options.drawing,
    )
