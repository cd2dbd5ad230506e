"""Places of slots, against a model in dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.search.kinds.gpu.placement import Placement

STEP = st.tuples(st.sampled_from(["add", "remove", "append", "again"]), st.integers(0, 10**6))


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=14))
def test_follows_rows_and_slots(steps: list[tuple[str, int]]) -> None:
    stamps, slots, latest = list(range(5)), [0, 2, 3], 5
    placement = Placement.of(np.array(stamps, np.int64), np.array(slots, np.int64))
    for verb, seed in steps:
        draw = np.random.default_rng(seed)
        if verb == "add":
            more = list(range(latest, latest + int(draw.integers(0, 6))))
            placement = placement.with_rows(len(stamps), len(more))
            stamps, latest = stamps + more, latest + len(more)
        elif verb == "remove":
            kept = draw.random(len(stamps)) < 0.7
            placement = placement.kept(kept)
            stamps = [one for one, keep in zip(stamps, kept, strict=True) if keep]
        else:
            if verb == "append":
                # Of this index and of others, whose stamps it never had.
                waiting = [stamps[place] for place in placement.waiting]
                slots = slots + waiting[: int(draw.integers(0, 4))] + [10**6 + latest]
                latest += 1
            placement = Placement.of(np.array(stamps, np.int64), np.array(slots, np.int64))
        place = {stamp: number for number, stamp in enumerate(stamps)}
        expected = [place.get(stamp, -1) for stamp in slots]
        assert placement.place_of.tolist() == expected
        assert placement.waiting.tolist() == [n for n, stamp in enumerate(stamps) if stamp not in slots]
        assert placement.tombstones == expected.count(-1)
        asked = np.array([[-1, len(slots), len(slots) + 7], [0, 1, 2]])
        assert placement.places(asked).tolist() == [[-1, -1, -1], expected[:3]]
        assert placement.place_of.dtype == placement.waiting.dtype == np.int64


def test_nothing_is_placed_where_there_are_no_slots() -> None:
    placement = Placement.of(np.arange(3), np.empty(0, np.int64))
    assert placement.places(np.array([-1, 0, 5])).tolist() == [-1, -1, -1]
    assert placement.waiting.tolist() == [0, 1, 2]
