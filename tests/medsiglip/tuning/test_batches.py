from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsiglip.checkpoint import Checkpoint
from medsiglip.tokenizer import Tokenizer
from medsiglip.tuning.batches import CaptionTable, augment, make_batches


def test_batches_hold_every_picture_once_in_halves_of_one_group() -> None:
    groups = ["chest"] * 64 + ["brain"] * 96
    rng = np.random.default_rng(0)
    first, second = (make_batches(groups, 32, rng) for _ in range(2))
    for batches in (first, second):
        assert sorted(np.concatenate(batches).tolist()) == list(range(160))
        assert [len(batch) for batch in batches] == [32] * 5
        for batch in batches:
            for half in (batch[:16], batch[16:]):
                assert len({groups[i] for i in half}) == 1
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


def test_batches_of_one_group() -> None:
    batches = make_batches([""] * 95, 32, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(95))
    assert {len(batch) for batch in batches} == {31, 32}


def test_captions_match_every_picture_that_lists_them(untrained: Checkpoint) -> None:
    lists = [("normal", f"case {i}") for i in range(30)] + [("mass", "case 30"), ("mass", "left mass")]
    table = CaptionTable(lists, Tokenizer(untrained.spiece_path, untrained.context_length))
    texts = sorted({text for listed in lists for text in listed}, key=lambda text: (text != "normal", text))
    assert table.shared_count == 1
    assert table.shared(np.arange(32)).tolist() == [0]
    assert [texts[i] for i in table.first(np.array([0, 30]))] == ["normal", "mass"]
    pictures = np.array([0, 7, 30, 31])
    chosen = table.sample(pictures, 3, np.random.default_rng(0))
    assert {"case 0", "case 7", "case 30", "left mass"} <= {texts[i] for i in chosen}
    expected = [[texts[caption] in lists[picture] for caption in chosen] for picture in pictures]
    assert table.matches(pictures, chosen).tolist() == expected


def square_at(row: int, column: int) -> NDArray[np.uint8]:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[row : row + 4, column : column + 4] = 100
    return picture


def test_augment_moves_pictures_without_flipping_and_keeps_black() -> None:
    pictures = np.stack([square_at(2, 12)] * 200)
    moved = augment(pictures, np.random.default_rng(0), shift=0.1, intensity=0.1)
    corners = [(np.flatnonzero(p.any(axis=(1, 2)))[0], np.flatnonzero(p.any(axis=(0, 2)))[0]) for p in moved]
    assert {row for row, _ in corners} == {0, 1, 2, 3, 4}
    assert {column for _, column in corners} == {10, 11, 12, 13, 14}
    levels = {int(p.max()) for p in moved}
    assert len(levels) > 5
    # 100 is 27.5 below the middle: contrast moves it by at most 2.75 and brightness by 12.75.
    assert min(levels) >= 100 - 16
    assert max(levels) <= 100 + 16


def test_augment_of_nothing_changes_nothing() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3)).astype(np.uint8)
    assert np.array_equal(augment(pictures, np.random.default_rng(0), 0.0, 0.0), pictures)
