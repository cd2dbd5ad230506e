from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.ingest.units.sampling import sample_evenly, sample_stacks, share


@settings(max_examples=50)
@given(st.integers(1, 3000), st.integers(2, 100))
def test_samples_are_even(count: Any, limit: Any) -> None:
    chosen = sample_evenly(count, limit)
    assert len(chosen) == min(count, limit)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    steps = np.diff(chosen)
    assert not len(steps) or (steps.min() >= 1 and np.ptp(steps) <= 1)


def test_one_sample_is_the_middle_and_no_limit_is_all() -> None:
    assert sample_evenly(9, 1) == [4]
    assert sample_evenly(9, None) == list(range(9))


@settings(max_examples=50)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.data())
def test_a_share_is_proportional_and_leaves_nobody_out(counts: Any, data: Any) -> None:
    limit = data.draw(st.integers(len(counts), 500))
    shares = share(counts, limit)
    assert sum(shares) == min(limit, sum(counts))
    assert all(1 <= given <= count for given, count in zip(shares, counts, strict=True))
    if sum(counts) > limit and all(count * limit >= sum(counts) for count in counts):
        assert all(
            abs(given - count * limit / sum(counts)) < 1 + 1e-9
            for given, count in zip(shares, counts, strict=True)
        )


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), min_size=1, max_size=40),
    st.integers(1, 120) | st.none(),
)
def test_no_more_than_the_limit_is_rendered_and_every_contrast_has_a_part(stacks: Any, limit: Any) -> None:
    counts, contrasts = [count for count, _ in stacks], [contrast for _, contrast in stacks]
    rendered = sample_stacks(counts, contrasts, limit)
    total = sum(map(len, rendered))
    assert total == sum(counts) if limit is None or sum(counts) <= limit else 1 <= total <= limit
    for slices, count in zip(rendered, counts, strict=True):
        assert slices == sorted(set(slices))
        assert all(0 <= i < count for i in slices)
    if limit is not None and limit >= len(set(contrasts)):
        assert {c for c, slices in zip(contrasts, rendered, strict=True) if slices} == set(contrasts)


@pytest.mark.parametrize(
    ("counts", "contrasts", "sizes"),
    [
        ([200], [0], [85]),
        ([300, 3], [0, 1], [84, 1]),
        ([100, 100, 100], [0, 0, 0], [29, 28, 28]),
        ([40, 40], [0, 1], [40, 40]),
        ([10] * 4, [0] * 4, [10] * 4),
    ],
)
def test_shares_of_usual_series(counts: Any, contrasts: Any, sizes: Any) -> None:
    assert [len(slices) for slices in sample_stacks(counts, contrasts, 85)] == sizes


def test_of_many_times_a_few_are_rendered_from_first_to_last() -> None:
    """300 volumes of an fMRI, 36 slices each."""
    rendered = sample_stacks([36] * 300, [0] * 300, 85)
    times = [time for time, slices in enumerate(rendered) if slices]
    assert (len(times), times[0], times[-1]) == (10, 0, 299)
    assert {len(rendered[time]) for time in times} == {8, 9}
    assert rendered[0][0] > 0
    assert rendered[0][-1] < 35
