"""Token buckets: their rate, their size and their number."""

from __future__ import annotations

import pytest

from medsiglip.api.http.rate_limits import TokenBuckets


def test_a_bucket_refills_at_its_rate_up_to_its_size() -> None:
    now = [1000.0]
    buckets = TokenBuckets(30, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(2)]
    now[0] += 1
    assert buckets.wait("a") == pytest.approx(1)
    assert buckets.wait("b") == 0
    now[0] += 1000
    assert [buckets.take("a") > 0 for _ in range(5)] == [False, False, False, True, True]


def test_buckets_are_bounded() -> None:
    buckets = TokenBuckets(60, 1, clock=lambda: 1000.0)
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._buckets) <= 10_000
