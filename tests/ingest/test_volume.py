from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.volume import SlicePlace, order_slices, plane_of, sample_evenly

AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)


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
def test_plane(orientation, plane):
    assert plane_of(orientation) == plane


@given(st.permutations(range(12)), st.sampled_from([AXIAL, SAGITTAL, CORONAL]))
def test_order_follows_positions_and_not_instance_numbers(order, orientation):
    normal = np.cross(orientation[:3], orientation[3:])
    places = [SlicePlace(tuple(normal * 2.5 * z), orientation, 100 - z) for z in order]
    assert [order[i] for i in order_slices(places)] == sorted(order)


def test_instance_numbers_order_what_shares_a_position():
    places = [SlicePlace((0, 0, z), AXIAL, n) for z, n in [(5, 2), (0, 9), (5, 1), (0, 3)]]
    assert order_slices(places) == [3, 1, 2, 0]


def test_each_stack_stays_together_and_the_largest_comes_first():
    localizers = [SlicePlace((0, 0, 0), SAGITTAL, 1, ("localizer",)), SlicePlace((0, 0, 0), CORONAL, 2)]
    volume = [SlicePlace((0, 0, z), AXIAL, z) for z in (3, 1, 2)]
    assert order_slices([*localizers, *volume])[:3] == [3, 4, 2]
    assert set(order_slices([*localizers, *volume])[3:]) == {0, 1}


def test_without_geometry_instance_numbers_decide_and_unnumbered_slices_come_last():
    places = [SlicePlace(None, None, n) for n in (3, None, 1, 2)]
    assert order_slices(places) == [2, 3, 0, 1]


@given(st.integers(1, 3000), st.integers(2, 100))
def test_samples_are_even(count, limit):
    chosen = sample_evenly(count, limit)
    assert len(chosen) == min(count, limit)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    steps = np.diff(chosen)
    assert not len(steps) or (steps.min() >= 1 and np.ptp(steps) <= 1)


def test_one_sample_is_the_middle_and_no_limit_is_all():
    assert sample_evenly(9, 1) == [4]
    assert sample_evenly(9, None) == list(range(9))
