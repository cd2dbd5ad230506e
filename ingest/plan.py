"""Which files are drawn together, and which of their frames: units of work, each a whole series or a single
file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.header import Header
from ingest.volume import SlicePlace, order_slices, plane_of, sample_evenly

MAX_SLICES = 85  # MedGemma 1.5 itself takes at most 85 slices of a volume
_BYTES_PER_FRAME_GUESS = 1 << 20


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """`max_slices` None means all of a series or a file; `magnification` is that of slide patches (5, 10,
    20).
    """

    max_slices: int | None = MAX_SLICES
    magnification: float = 10.0


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels: of a frame (a tile of a mosaic), or of the total pixel matrix of a slide."""

    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Slice:
    """One image to draw: a frame of `Unit.headers[file]`, or a region of it; `slice_index` counts in
    anatomical order before sampling.

    Images of one file differ in `frame`: where regions are drawn, it counts these.
    """

    file: int
    frame: int
    slice_index: int | None
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """What is drawn and committed as a whole. `whole_series` says that percentiles are taken over all
    slices.
    """

    headers: tuple[Header, ...]
    slices: tuple[Slice, ...]
    whole_series: bool = False
    replace_series: bool = False
    orientation: str | None = None

    def memory(self, image_size: int) -> int:
        """A guess of the bytes that drawing this unit takes: its files, one decoded frame, its model
        inputs.
        """
        return (
            sum(h.size for h in self.headers) + _BYTES_PER_FRAME_GUESS + len(self.slices) * image_size**2 * 3
        )


def plan(headers: Iterable[Header], options: PlanOptions | None = None) -> list[Unit]:
    """Group headers into units, in order of their first files.

    CT, MR and PET files of a series are one unit, their slices in anatomical order; every other file is its
    own. More than `max_slices` slices or frames are sampled evenly.
    """
    options = options or PlanOptions()
    groups: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        own = (header.study_instance_uid, header.series_instance_uid) if header.is_volume else (header.path,)
        groups.setdefault(own, []).append(header)
    return [
        plan_series(members, options) if members[0].is_volume else _plan_file(members[0], options)
        for members in groups.values()
    ]


def plan_series(headers: Sequence[Header], options: PlanOptions, *, replace_series: bool = False) -> Unit:
    """One unit of all files of a CT, MR or PET series."""
    ordered = sorted(headers, key=lambda h: (h.sop_instance_uid, h.path))
    places = [
        SlicePlace(
            h.position, h.orientation, h.instance_number, ("LOCALIZER" in h.image_type, h.rows, h.columns)
        )
        for h in ordered
    ]
    order = order_slices(places)
    every = [(file, frame) for file in order for frame in range(ordered[file].number_of_frames)]
    slices = tuple(Slice(*every[i], i) for i in sample_evenly(len(every), options.max_slices))
    return Unit(
        tuple(ordered),
        slices,
        whole_series=True,
        replace_series=replace_series,
        orientation=plane_of(ordered[order[0]].orientation),
    )


def _plan_file(header: Header, options: PlanOptions) -> Unit:
    frames = sample_evenly(header.number_of_frames, options.max_slices)
    return Unit((header,), tuple(Slice(0, f, None) for f in frames), orientation=plane_of(header.orientation))
