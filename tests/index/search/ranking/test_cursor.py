"""Cursors come back as they were; what no answer gave is refused, and costs no more than a search."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.errors import CatalogError
from medsiglip.index.search.ranking.cursor import LONGEST, MOST_SHOWN, Cursor, read_cursor

IDS = st.integers(1, 2**62)


@given(
    digest=st.binary(min_size=16, max_size=16),
    newest=IDS,
    rank=st.integers(0, 10**9),
    score=st.floats(-1, 2, width=32),
    last=IDS,
    shown=st.sets(st.integers(1, 2**62), max_size=40),
    own=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_cursor_comes_back(
    digest: bytes, newest: int, rank: int, score: float, last: int, shown: set[int], own: bool, seed: int
) -> None:
    drawn = np.random.default_rng(seed).normal(size=24)
    vector = (drawn / np.linalg.norm(drawn)).astype(np.float32)
    rank = min(rank, newest)
    ids = np.array(sorted(shown), np.int64)
    text = Cursor(digest, vector, newest, rank, score, last, ids, own).text()
    assert text.replace("-", "").replace("_", "").isalnum()
    found = read_cursor(text)
    assert (found.digest, found.newest, found.rank, found.score, found.last, found.own_is_shown) == (
        digest,
        newest,
        rank,
        score,
        last,
        own,
    )
    assert found.shown.tolist() == ids.tolist()
    assert found.vector.tobytes() == vector.tobytes()


def test_the_longest_cursor_can_be_given_back() -> None:
    ids = np.sort(np.random.default_rng(1).choice(2**40, MOST_SHOWN, replace=False)).astype(np.int64)
    text = Cursor(b"d" * 16, np.full(4096, 1 / 64, np.float32), 2**60, 10**6, 0.5, 7, ids, False).text()
    assert len(text) <= LONGEST
    assert read_cursor(text).shown.tolist() == ids.tolist()


@given(
    st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda one: urlsafe_b64encode(one).decode()))
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read_cursor(text)
    assert caught.value.code == "bad-cursor"


@given(st.data())
def test_a_changed_cursor_is_refused_or_is_a_sound_one(data: st.DataObject) -> None:
    shown = np.array([3, 9, 1000], np.int64)
    cursor = Cursor(b"0123456789abcdef", np.full(8, 8**-0.5, np.float32), 1000, 3, 0.5, 9, shown, True)
    text = cursor.text()
    body = bytearray(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(body)[: data.draw(st.integers(len(body) - 3, len(body)))]
    try:
        found = read_cursor(urlsafe_b64encode(changed).decode().rstrip("="))
    except CatalogError:
        return
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-3)
    assert np.isfinite(found.score)
    assert (np.diff(found.shown) > 0).all()
    assert found.rank <= found.newest < 2**63
    assert found.last < 2**63


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_without_an_order_are_refused(score: float) -> None:
    one = np.array([0, 1], np.float32)
    text = Cursor(b"d" * 16, one, 1, 1, score, 1, np.empty(0, np.int64), False).text()
    with pytest.raises(CatalogError, match="cannot be read"):
        read_cursor(text)


@pytest.mark.parametrize("length", [0.0, 1e-38, 0.99, 10.0, 1e38, float("inf"), float("nan")])
def test_a_query_that_would_give_scores_beyond_cosines_is_refused(length: float) -> None:
    vector = np.array([0, length], np.float32)
    text = Cursor(b"d" * 16, vector, 9, 1, 0.5, 1, np.empty(0, np.int64), False).text()
    with pytest.raises(CatalogError, match="cannot be read"):
        read_cursor(text)


def test_more_hits_than_there_can_be_are_refused() -> None:
    one = np.array([0, 1], np.float32)
    text = Cursor(b"d" * 16, one, 9, 10, 0.5, 1, np.empty(0, np.int64), False).text()
    with pytest.raises(CatalogError, match="cannot be read"):
        read_cursor(text)


def test_a_claim_of_many_ids_costs_nothing() -> None:
    head = struct.pack("<BBH16sQQfQH", 1, 0, 1, b"d" * 16, 1, 1, 0.5, 1, 65535)
    text = urlsafe_b64encode(head + struct.pack("<f", 1.0) + b"\x01" * 65535).decode().rstrip("=")
    with pytest.raises(CatalogError, match="cannot be read"):
        read_cursor(text)
