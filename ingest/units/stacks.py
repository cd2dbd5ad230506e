"""The geometry of a series: its plane, its stacks with the slices in anatomical order, and faults of their
spacing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.header.slice_place import SlicePlace

# Slices whose normals differ by less than this (about 2.5 degrees) belong to one stack.
SAME_DIRECTION = 0.999
# Slices closer than this, in mm along the normal, lie at one place, unless the series has slices that fine:
# then those closer than this share of their step do. So do slices of two parts of a series that are closer
# than `SAME_PLACE_SHARE` of the parts' own step.
SAME_PLACE = 0.02
SAME_PLACE_OF_FINE = 0.2
SAME_PLACE_SHARE = 0.4
# Positions are decimal texts of up to 16 characters (PS3.5 6.2); what is nearer differs by rounding alone.
_ROUNDING = SAME_PLACE / 200
# The tolerance of a step between slices, and the least angle of a sheared stack.
STEP_TOLERANCE = 0.1
TILT_DEGREES = 0.5
PLANES = ("sagittal", "coronal", "axial")

WARNINGS = {
    "duplicate-slices": "several slices of a stack lie at one place; all were kept: look for repeated files",
    "missing-slices": "a stack leaves out slices; fetch the series again if it should be complete",
    "uneven-spacing": "the slices of a stack are not evenly spaced; they were taken in order all the same",
    "slice-location-order": "the slices of a stack have no position and no number of their own; they were "
    "taken in the order of Slice Location, which may run either way",
    "slice-order-unknown": "the slices of a stack have no position, number or location to order them by",
    "gantry-tilt": "the slices of a stack are shifted against each other, as by a tilted gantry; they were "
    "rendered as stored",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one direction and kind, in anatomical order: indices into the places of a series.

    Stacks of one `contrast` differ in place or time alone, so the same grey level means the same in them.
    `warnings` are codes of `WARNINGS`.
    """

    members: tuple[int, ...]
    contrast: int
    direction: tuple[float, ...] | None
    warnings: tuple[str, ...] = ()


def normal_of(orientation: Sequence[float] | None) -> NDArray[np.float64] | None:
    """The unit normal, row direction x column direction (PS3.3 C.7.6.2.1.1); None if absent or degenerate."""
    if orientation is None or len(orientation) != 6:
        return None
    normal = np.cross(np.asarray(orientation[:3], float), np.asarray(orientation[3:], float))
    length = float(np.linalg.norm(normal))
    return normal / length if np.isfinite(length) and length > 1e-6 else None


def plane_of(orientation: Sequence[float] | None) -> str | None:
    """`axial`, `coronal` or `sagittal`, whichever is nearest; None without a usable orientation."""
    normal = normal_of(orientation)
    return None if normal is None else PLANES[int(np.argmax(np.abs(normal)))]


def stacks_of(places: Sequence[SlicePlace]) -> list[Stack]:
    """Split a series into stacks, the largest first, those without geometry last.

    Slices of one direction and kind are one stack as long as no two have the same place. If they do, the keys
    of `SlicePlace.contrast` and `SlicePlace.time` split them, one after the other; parts that do not collide
    stay together, so that a volume scanned in several acquisitions is one stack. Within a stack
    slices are ordered by their position along the normal, not by Instance Number, which only breaks ties.
    Slices without a position are ordered by Instance Number, and by Slice Location where that leaves it open.
    """
    found: list[Stack] = []
    contrast = 0
    for direction, members in _directions(places):
        if direction is None:
            ordered = tuple(sorted(members, key=lambda i: (_number(places[i]), _location(places[i]))))
            found.append(Stack(ordered, contrast, None, _doubts_of_order([places[i] for i in ordered])))
            contrast += 1
            continue
        along = _positions(places, members, direction)
        tolerance = _tolerance(along.values())
        units = {i: position / tolerance for i, position in along.items()}
        for part in _part(members, {i: places[i].contrast for i in members}, units):
            for stack in _part(part, {i: places[i].time for i in part}, units):
                ordered = tuple(sorted(stack, key=lambda i: (round(200 * units[i]), _number(places[i]))))
                codes = _irregularities([places[i] for i in ordered], direction, tolerance)
                found.append(Stack(ordered, contrast, tuple(map(float, direction)), codes))
            contrast += 1
    found.sort(key=lambda stack: (stack.direction is None, -len(stack.members)))
    return found


def _directions(places: Sequence[SlicePlace]) -> list[tuple[NDArray[np.float64] | None, list[int]]]:
    """Members of one direction and kind, in order of first appearance."""
    found: list[tuple[tuple[object, ...], NDArray[np.float64] | None, list[int]]] = []
    for i, place in enumerate(places):
        has_position = place.position is not None and len(place.position) == 3
        normal = normal_of(place.orientation) if has_position else None
        for kind, direction, members in found:
            if kind == place.kind and _same_direction(direction, normal):
                members.append(i)
                break
        else:
            found.append((place.kind, normal, [i]))
    return [(direction, members) for _, direction, members in found]


def _same_direction(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    if a is None or b is None:
        return a is b
    return float(a @ b) > SAME_DIRECTION


def _positions(
    places: Sequence[SlicePlace], members: Sequence[int], direction: NDArray[np.float64]
) -> dict[int, float]:
    return {i: float(direction @ np.asarray(places[i].position, float)) for i in members}


def _tolerance(along: Collection[float]) -> float:
    """How far apart slices at one place may lie, in mm: `SAME_PLACE`, or a share of the step of a series that
    is finer, whose slices follow each other over more than `SAME_PLACE`; scatter about one place does not.
    """
    places = np.unique(np.round(np.fromiter(along, float) / _ROUNDING)) * _ROUNDING
    steps = np.diff(places)
    if not len(steps):
        return SAME_PLACE
    begins = np.flatnonzero(np.append(True, steps > SAME_PLACE))
    extents = places[np.append(begins[1:] - 1, len(places) - 1)] - places[begins]
    usual = steps if (extents > SAME_PLACE).any() else steps[steps > SAME_PLACE]
    return min(SAME_PLACE, SAME_PLACE_OF_FINE * float(np.median(usual))) if len(usual) else SAME_PLACE


def _number(place: SlicePlace) -> float:
    return float("inf") if place.instance_number is None else float(place.instance_number)


def _location(place: SlicePlace) -> float:
    return float("inf") if place.slice_location is None else place.slice_location


def _doubts_of_order(stack: Sequence[SlicePlace]) -> tuple[str, ...]:
    """Codes of `WARNINGS` for slices that were ordered without positions."""
    if not _has_slices(stack) or len({_number(place) for place in stack}) == len(stack):
        return ()
    distinct = {(_number(place), _location(place)) for place in stack}
    return ("slice-location-order" if len(distinct) == len(stack) else "slice-order-unknown",)


def _has_slices(stack: Sequence[SlicePlace]) -> bool:
    """Whether these are slices, not localizers, captures or projections; and more than one."""
    return len(stack) > 1 and stack[0].kind[:1] in ((), ("slice",), ("reformatted",))


class _Part:
    """Members of a future stack, and their places along the normal in units of the tolerance."""

    def __init__(self, members: Sequence[int], along: Mapping[int, float]) -> None:
        self.members = list(members)
        self._along = along
        self._taken = {round(along[i]) for i in members}

    def collides(self, other: _Part) -> bool:
        """Whether both have slices at the same place."""
        small, large = sorted((self._taken, other._taken), key=len)
        if any(near in large for place in small for near in (place - 1, place, place + 1)):
            return True
        if len(small) < 3:
            return False
        mine, theirs = np.array(sorted(self._taken)), np.array(sorted(other._taken))
        step = min(np.median(np.diff(mine)), np.median(np.diff(theirs)))
        at = np.searchsorted(mine, theirs)
        nearest = np.minimum(
            np.abs(theirs - mine[np.minimum(at, len(mine) - 1)]), np.abs(theirs - mine[np.maximum(at - 1, 0)])
        )
        return bool(nearest.min() < SAME_PLACE_SHARE * step)

    def take(self, other: _Part) -> None:
        """Add the members of `other`."""
        self.members += other.members
        self._taken |= other._taken


def _part(
    members: Sequence[int], keys: Mapping[int, Sequence[float | str | None]], along: Mapping[int, float]
) -> list[list[int]]:
    """Split members that collide by their keys, one field after the other."""
    parts = [list(members)]
    for field in range(min(len(key) for key in keys.values())):
        parts = [part for whole in parts for part in _part_by({i: keys[i][field] for i in whole}, along)]
    return parts


def _part_by(values: Mapping[int, float | str | None], along: Mapping[int, float]) -> list[list[int]]:
    groups: dict[float | str | None, list[int]] = {}
    for i, value in values.items():
        groups.setdefault(value, []).append(i)
    parts: list[_Part] = []
    for value in sorted(groups, key=lambda v: (v is None, isinstance(v, str), v)):
        new = _Part(groups[value], along)
        for part in parts:
            if not part.collides(new):
                part.take(new)
                break
        else:
            parts.append(new)
    return [part.members for part in parts]


def _irregularities(
    stack: Sequence[SlicePlace], direction: NDArray[np.float64], tolerance: float
) -> tuple[str, ...]:
    """Codes of `WARNINGS` for the ordered slices of a stack; other images have none."""
    if not _has_slices(stack):
        return ()
    shifts = np.diff(np.array([place.position for place in stack], float), axis=0)
    steps = shifts @ direction
    apart = steps > tolerance
    codes = [] if apart.all() else ["duplicate-slices"]
    shifts, steps = shifts[apart], steps[apart]
    if len(steps) < 2:
        return tuple(codes)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    multiples = np.rint(steps / usual)
    regular = np.abs(steps / usual - 1.0) <= STEP_TOLERANCE
    whole = (multiples >= 2) & (np.abs(steps / usual - multiples) <= STEP_TOLERANCE)
    if (whole & ~regular).any() and 2 * int(regular.sum()) >= len(steps):
        codes.append("missing-slices")
        regular |= whole
    if not regular.all():
        codes.append("uneven-spacing")
    sideways = np.median(shifts - np.outer(steps, direction), axis=0)
    if np.degrees(np.arctan2(np.linalg.norm(sideways), usual)) > TILT_DEGREES:
        codes.append("gantry-tilt")
    return tuple(codes)
