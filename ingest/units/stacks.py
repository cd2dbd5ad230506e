"""The geometry of a series: its plane, its stacks with the slices in anatomical order, and faults of their
spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.header.slice_place import SlicePlace

# Slices whose normals differ by less than this (about 2.5 degrees) belong to one stack.
SAME_DIRECTION = 0.999
# Slices closer than this, in mm along the normal, lie at one place; so do slices of two parts of a series
# that are closer than this share of the parts' own step.
SAME_PLACE = 0.02
SAME_PLACE_SHARE = 0.4
# The tolerance of a step between slices, and the least angle of a sheared stack.
STEP_TOLERANCE = 0.1
TILT_DEGREES = 0.5
PLANES = ("sagittal", "coronal", "axial")

WARNINGS = {
    "duplicate-slices": "several slices of a stack lie at one place; all were kept: look for repeated files",
    "missing-slices": "a stack leaves out slices; fetch the series again if it should be complete",
    "uneven-spacing": "the slices of a stack are not evenly spaced; they were taken in order all the same",
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
    """
    found: list[Stack] = []
    contrast = 0
    for direction, members in _directions(places):
        if direction is None:
            ordered = tuple(sorted(members, key=lambda i: (0.0, *_number(places[i]))))
            found.append(Stack(ordered, contrast, None))
            contrast += 1
            continue
        along = _positions(places, members, direction)
        for part in _part(members, {i: places[i].contrast for i in members}, along):
            for stack in _part(part, {i: places[i].time for i in part}, along):
                ordered = tuple(sorted(stack, key=lambda i: (round(along[i], 4), *_number(places[i]))))
                codes = _irregularities([places[i] for i in ordered], direction)
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


def _number(place: SlicePlace) -> tuple[float]:
    return (float("inf") if place.instance_number is None else float(place.instance_number),)


class _Part:
    """Members of a future stack, and their places along the normal."""

    def __init__(self, members: Sequence[int], along: Mapping[int, float]) -> None:
        self.members = list(members)
        self._along = along
        self._taken = {round(along[i] / SAME_PLACE) for i in members}

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


def _irregularities(stack: Sequence[SlicePlace], direction: NDArray[np.float64]) -> tuple[str, ...]:
    """Codes of `WARNINGS` for the ordered slices of a stack; other images have none."""
    if stack[0].kind[:1] not in ((), ("slice",), ("reformatted",)) or len(stack) < 2:
        return ()
    shifts = np.diff(np.array([place.position for place in stack], float), axis=0)
    steps = shifts @ direction
    apart = steps > SAME_PLACE
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
