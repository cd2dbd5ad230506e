"""The geometry of a series: which plane it shows, its slices in anatomical order, an even sample of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Slices whose normals differ by less than this (about 2.5 degrees) belong to one stack.
SAME_DIRECTION = 0.999
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, slots=True)
class SlicePlace:
    """Where a slice lies: Image Position and Orientation (Patient) in mm, as far as the header gives them.

    `kind` keeps apart what must not share a stack: localizers, other matrix sizes.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    instance_number: int | None
    kind: tuple[object, ...] = ()


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


def order_slices(places: Sequence[SlicePlace]) -> list[int]:
    """Indices of `places` in anatomical order.

    Slices of one direction and kind form a stack; a stack is ordered by position along its normal, not by
    Instance Number, which only breaks ties. The largest stack comes first, slices without geometry last.
    """
    stacks: list[tuple[tuple[object, ...], NDArray[np.float64] | None, list[int]]] = []
    for i, place in enumerate(places):
        normal = (
            normal_of(place.orientation) if place.position is not None and len(place.position) == 3 else None
        )
        for kind, direction, members in stacks:
            if kind == place.kind and _same_direction(direction, normal):
                members.append(i)
                break
        else:
            stacks.append((place.kind, normal, [i]))
    stacks.sort(key=lambda stack: (stack[1] is None, -len(stack[2])))
    ordered = []
    for _, direction, members in stacks:
        ordered += sorted(members, key=lambda i: _key(places[i], direction))
    return ordered


def _same_direction(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    if a is None or b is None:
        return a is b
    return float(a @ b) > SAME_DIRECTION


def _key(place: SlicePlace, direction: NDArray[np.float64] | None) -> tuple[float, float]:
    along = 0.0
    if direction is not None and place.position is not None:
        along = round(float(direction @ np.asarray(place.position, float)), 4)
    number = place.instance_number
    return along, float("inf") if number is None else float(number)


def sample_evenly(count: int, limit: int | None) -> list[int]:
    """At most `limit` of `count` indices, evenly spread, ends included (the middle one if `limit` is 1)."""
    if limit is None or count <= limit:
        return list(range(count))
    if limit == 1:
        return [count // 2]
    return [round(i * (count - 1) / (limit - 1)) for i in range(limit)]
