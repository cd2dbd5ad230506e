from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.ingest.header.slice_place import SlicePlace, image_kind
from medsiglip.ingest.units.stacks import plane_of, stacks_of

AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)


def order_slices(places: Sequence[SlicePlace]) -> list[int]:
    return [i for stack in stacks_of(places) for i in stack.members]


def axial(
    z: Any, *, kind: Any = ("slice",), contrast: Any = (), time: Any = (), number: Any = None, y: Any = 0.0
) -> Any:
    return SlicePlace((0.0, y, float(z)), AXIAL, number, kind, contrast, time)


def heights(places: Any) -> Any:
    """The z positions of each stack."""
    return [[places[i].position[2] for i in stack.members] for stack in stacks_of(places)]


def warnings(places: Any) -> Any:
    return [set(stack.warnings) for stack in stacks_of(places)]


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (AXIAL, "axial"),
        (SAGITTAL, "sagittal"),
        (CORONAL, "coronal"),
        ((1, 0, 0, 0, 0.95, 0.3), "axial"),
        ((1, 0, 0, 1, 0, 0), None),
        (None, None),
        ((1, 0, 0), None),
    ],
)
def test_plane(orientation: Any, plane: Any) -> None:
    assert plane_of(orientation) == plane


@given(st.permutations(range(12)), st.sampled_from([AXIAL, SAGITTAL, CORONAL]))
def test_order_follows_positions_and_not_instance_numbers(order: Any, orientation: Any) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    places = [SlicePlace(tuple(normal * 2.5 * z), orientation, 100 - z) for z in order]
    assert [order[i] for i in order_slices(places)] == sorted(order)


def test_instance_numbers_order_what_shares_a_position() -> None:
    places = [SlicePlace((0, 0, z), AXIAL, n) for z, n in [(5, 2), (0, 9), (5, 1), (0, 3)]]
    assert order_slices(places) == [3, 1, 2, 0]


def test_each_stack_stays_together_and_the_largest_comes_first() -> None:
    localizers = [SlicePlace((0, 0, 0), SAGITTAL, 1, ("localizer",)), SlicePlace((0, 0, 0), CORONAL, 2)]
    volume = [SlicePlace((0, 0, z), AXIAL, z) for z in (3, 1, 2)]
    assert order_slices([*localizers, *volume])[:3] == [3, 4, 2]
    assert set(order_slices([*localizers, *volume])[3:]) == {0, 1}


def test_without_geometry_instance_numbers_decide_and_unnumbered_slices_come_last() -> None:
    places = [SlicePlace(None, None, n) for n in (3, None, 1, 2)]
    assert order_slices(places) == [2, 3, 0, 1]


def test_a_volume_scanned_in_several_acquisitions_is_one_stack() -> None:
    """Head to toe in three runs, none of which repeats a place; the last has other echoes."""
    places = [axial(z, time=(z // 10,), contrast=(float(z > 25),)) for z in range(30)]
    assert heights(places) == [list(range(30))]
    assert warnings(places) == [set()]


@pytest.mark.parametrize("key", ["contrast", "time"])
def test_what_repeats_a_place_is_another_stack(key: Any) -> None:
    places = [axial(z, **{key: (None, float(n))}) for z in range(5) for n in range(3)]
    random.Random(1).shuffle(places)
    assert heights(places) == [[0, 1, 2, 3, 4]] * 3
    assert [{getattr(places[i], key)[1] for i in s.members} for s in stacks_of(places)] == [
        {0.0},
        {1.0},
        {2.0},
    ]
    assert len({s.contrast for s in stacks_of(places)}) == (3 if key == "contrast" else 1)
    assert warnings(places) == [set()] * 3


def test_a_phase_between_the_slices_of_another_is_a_stack_of_its_own() -> None:
    """Two runs overlap where no two slices lie at exactly the same place."""
    places = [axial(1.25 * z, time=(1.0,)) for z in range(8)] + [
        axial(6.6 + 1.25 * z, time=(2.0,)) for z in range(6)
    ]
    assert [len(stack) for stack in heights(places)] == [8, 6]
    assert warnings(places) == [set(), set()]


def test_odd_and_even_slices_of_two_runs_are_one_volume() -> None:
    places = [axial(z, time=(float(z % 2),)) for z in range(12)]
    assert heights(places) == [list(range(12))]


def test_a_slice_that_one_b_value_lacks_is_not_taken_from_the_other() -> None:
    places = [axial(z, contrast=(0.0,)) for z in range(6) if z != 3]
    places += [axial(z, contrast=(1000.0,)) for z in range(6)]
    assert heights(places) == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 4, 5]]
    assert warnings(places) == [set(), {"missing-slices"}]


def test_slice_times_part_a_cine_into_its_phases() -> None:
    """Every slice has a trigger time of its own; what counts is which comes first at each place."""
    places = [axial(z, time=(None, 40.0 * phase + z)) for z in range(4) for phase in range(5)]
    stacks = stacks_of(places)
    assert [[places[i].time[1] // 40 for i in s.members] for s in stacks] == [
        [phase] * 4 for phase in range(5)
    ]


@pytest.mark.parametrize("kind", ["localizer", "secondary-capture", "projection", "reformatted"])
def test_other_pictures_stay_out_of_the_volume(kind: Any) -> None:
    places = [axial(z) for z in range(5)] + [axial(2.5, kind=(kind,))]
    assert heights(places) == [[0, 1, 2, 3, 4], [2.5]]


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        ("ORIGINAL\\PRIMARY\\AXIAL", "slice"),
        ("ORIGINAL\\PRIMARY\\LOCALIZER", "localizer"),
        ("DERIVED\\SECONDARY\\MPR\\CSA MPR", "reformatted"),
        ("DERIVED\\SECONDARY\\PROJECTION IMAGE", "projection"),
        ("DERIVED\\PRIMARY\\VOLUME\\MAXIMUM", "projection"),
        ("DERIVED\\SECONDARY\\SCREEN SAVE", "secondary-capture"),
        ("ORIGINAL\\PRIMARY\\M\\NORM\\DIS2D", "slice"),
        ("", "slice"),
    ],
)
def test_kinds_of_image_type(image_type: Any, kind: Any) -> None:
    assert image_kind(image_type) == kind


def test_secondary_captures_are_known_by_their_class() -> None:
    assert image_kind("ORIGINAL\\PRIMARY\\AXIAL", "1.2.840.10008.5.1.4.1.1.7.4") == "secondary-capture"


@pytest.mark.parametrize(
    ("positions", "code"),
    [
        ([0, 5, 10, 15, 20], None),
        ([0, 5, 10, 10, 15, 20], "duplicate-slices"),
        ([0, 5, 15, 20, 25], "missing-slices"),
        ([0, 5, 10, 25, 30], "missing-slices"),
        ([0, 5, 10, 17, 22], "uneven-spacing"),
        ([0, 3, 7, 15], "uneven-spacing"),
        ([0, 5.01, 9.99, 15.02], None),
        ([0, 5], None),
        ([0], None),
    ],
)
def test_what_is_wrong_with_spacing_is_noticed(positions: Any, code: Any) -> None:
    assert warnings([axial(z) for z in positions]) == [{code} if code else set()]


@pytest.mark.parametrize(("degrees", "tilted"), [(0.0, False), (0.2, False), (2.0, True), (-18.0, True)])
def test_gantry_tilt_is_noticed(degrees: Any, tilted: Any) -> None:
    shift = 5.0 * np.tan(np.radians(degrees))
    assert warnings([axial(5 * z, y=shift * z) for z in range(6)]) == [{"gantry-tilt"} if tilted else set()]


def test_one_slice_that_lies_aside_is_no_tilt() -> None:
    assert warnings([axial(z, y=30.0 * (z == 3)) for z in range(9)]) == [set()]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.sampled_from([0.0, 1.0, None]), st.integers(0, 1)),
        max_size=40,
    )
)
def test_every_slice_is_in_one_stack_and_order_does_not_depend_on_the_files(slices: Any) -> None:
    places = [
        axial(z, kind=(str(kind),), contrast=(echo,), time=(float(n),), number=z + 7 * n)
        for z, n, echo, kind in slices
    ]
    assert sorted(order_slices(places)) == list(range(len(places)))
    for stack in stacks_of(places):
        assert len({places[i].kind for i in stack.members}) == 1
        along = [places[i].position[2] for i in stack.members]
        assert along == sorted(along)
    turned = places[::-1]
    assert sorted(heights(turned)) == sorted(heights(places))


@pytest.mark.parametrize("step", [0.001, 0.0125, 0.03, 0.039, 0.5, 5.0])
def test_tolerances_follow_the_step_of_the_slices(step: float) -> None:
    """Micro-CT and optical coherence tomography have slices of micrometres."""
    order = random.Random(7).sample(range(40), 40)
    places = [axial(step * z, number=100 - z) for z in order]
    assert [order[i] for i in order_slices(places)] == list(range(40))
    assert warnings(places) == [set()]
    left_out = [place for place, z in zip(places, order, strict=True) if z not in (20, 31)]
    assert warnings(left_out) == [{"missing-slices"}]
    assert warnings([*places, axial(step * 3, number=1)]) == [{"duplicate-slices"}]
    twice = [*places, *(axial(step * z, number=200 - z, contrast=("b",)) for z in order)]
    twice[:40] = [axial(step * z, number=100 - z, contrast=("a",)) for z in order]
    assert [len(stack.members) for stack in stacks_of(twice)] == [40, 40]


def test_scatter_about_one_place_is_no_step() -> None:
    """Positions of repeated volumes differ by micrometres; the step is that between the slices."""
    scatter = random.Random(3)
    places = [
        axial(3.0 * z + scatter.uniform(0, 0.015), time=(t,), number=20 * t + z)
        for t in range(9)
        for z in range(12)
    ]
    assert [len(stack.members) for stack in stacks_of(places)] == [12] * 9
    assert warnings(places) == [set()] * 9


def test_slice_location_orders_what_nothing_else_does() -> None:
    def place(location: Any, number: Any = None, kind: Any = ("slice",)) -> SlicePlace:
        return SlicePlace(None, None, number, kind, slice_location=location)

    assert order_slices([place(3.5), place(-2.0), place(1.0)]) == [1, 2, 0]
    assert warnings([place(3.5), place(-2.0), place(1.0)]) == [{"slice-location-order"}]
    assert order_slices([place(3.5, 1), place(-2.0, 2), place(1.0, 3)]) == [0, 1, 2]
    assert warnings([place(3.5, 1), place(-2.0, 2), place(1.0, 3)]) == [set()]
    assert order_slices([place(3.5, 1), place(-2.0, 1), place(1.0, 1)]) == [1, 2, 0]
    assert warnings([place(2.0), place(2.0), place(None)]) == [{"slice-order-unknown"}]
    assert warnings([place(None), place(None)]) == [{"slice-order-unknown"}]
    assert warnings([place(None)]) == warnings([place(None, kind=("localizer",))] * 2) == [set()]
