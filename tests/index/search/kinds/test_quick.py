"""Approximate answers: their recall, their scores, and that the codes stay in step with the rows."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.search.kinds import quick, quick_learning
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.index_kinds import KINDS, chosen_kind
from medsiglip.index.search.kinds.quick import AnswerCount, QuickIndex, read_quick
from medsiglip.index.search.kinds.quick_codes import QuickCodes, rotated_axes
from medsiglip.index.search.kinds.quick_search import OperatingPoint
from medsiglip.index.search.kinds.vector_search import ExactSearch
from tests.index.search.kinds.embeddings import DIMENSION, pictures, recall, texts, unit

ROWS = 4000


@pytest.fixture(autouse=True)
def _codes_at_any_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock: all trials take equally long, and are worth it; the narrowest codes are chosen."""
    monkeypatch.setattr(quick_learning, "milliseconds", lambda *_: 1.0)
    monkeypatch.setattr(quick_learning, "_WORTH", 2.0)
    monkeypatch.setattr(quick, "_MOST", 1.0)


def pair(rows: np.ndarray, *, least: int = 3000, sample: int = 200) -> tuple[QuickIndex, ExactSearch]:
    """The same rows in both, under ids that are not in order, added in parts."""
    index = QuickIndex(DIMENSION, texts(sample, 5) if sample else None, least=least)
    exact = ExactSearch(DIMENSION)
    ids = np.random.default_rng(3).permutation(len(rows)) * 3 + 1
    for start in range(0, len(rows), 1500):
        part = slice(start, start + 1500)
        for one in (index, exact):
            one.add(ids[part], rows[part])
    return index, exact


@cache
def _learnt_once() -> tuple[QuickIndex, ExactSearch]:
    return pair(pictures(ROWS, 1))


def copies() -> tuple[QuickIndex, ExactSearch]:
    """The same pictures in both, learnt once for all tests; an answer to one is counted for no other."""
    index, exact = (one.copy() for one in _learnt_once())
    assert isinstance(index, QuickIndex)
    assert isinstance(exact, ExactSearch)
    index.count = AnswerCount()
    return index, exact


@pytest.mark.parametrize("k", [1, 10, 20])
def test_recall_is_the_one_asked_for_on_queries_held_out(k: int) -> None:
    index, exact = copies()
    assert index.measured_recall is not None
    assert index.measured_recall.least >= index.recall == 0.999
    assert (index.measured_recall.rows, index.measured_recall.k) == (3000, 10)
    for queries in (pictures(300, 50), texts(300, 51)):
        answer = index.search(queries, k, exact=False)
        assert set(answer.how) == {"approximate"}
        assert recall(answer, exact.search(queries, k)) >= 0.999
        assert (answer.looked_at <= 50 + k).all()
        single = index.search(queries[:1], k, exact=False)
        assert np.array_equal(single.ids, answer.ids[:1])
    assert index.approximate == 602


def test_lower_recall_takes_fewer_candidates() -> None:
    rows = pictures(ROWS, 1)
    points = []
    for asked in (0.6, 0.999):
        index = QuickIndex(DIMENSION, texts(200, 5), least=1000, recall=asked)
        index.add(np.arange(len(rows)), rows)
        assert index.trial is not None
        points.append(index.trial.point)
    assert points[0].candidates < points[1].candidates


def test_scores_are_exact_and_equal_ones_ranked_by_id() -> None:
    rows = pictures(ROWS, 1)
    rows[::2] = rows[1::2]  # every picture twice
    index, exact = pair(rows)
    queries = pictures(40, 9)
    answer, expected = index.search(queries, 10, exact=False), exact.search(queries, 10)
    assert set(answer.how) == {"approximate"}
    same = (answer.ids == expected.ids).all(axis=1)
    assert same.mean() > 0.9
    assert np.array_equal(answer.scores[same], expected.scores[same])
    for scores, ids in zip(answer.scores, answer.ids, strict=True):
        assert np.array_equal(np.lexsort((ids, -scores)), np.arange(10))


def test_codes_follow_what_is_added_and_removed() -> None:
    rows = pictures(ROWS, 1)
    index, exact = pair(rows, least=3000)
    draw = np.random.default_rng(7)
    for step in range(4):
        gone = draw.choice(exact.ids, 300, replace=False)
        new = np.arange(250) + 10**6 * (step + 1)
        added = pictures(250, 100 + step)
        for one in (index, exact):
            one.remove(np.append(gone, 10**9))
            one.add(new, added)
        queries = np.concatenate([added[:20], pictures(60, 30 + step), texts(60, 40 + step)])
        answer = index.search(queries, 10, exact=False)
        assert set(answer.how) == {"approximate"}
        assert recall(answer, exact.search(queries, 10)) >= 0.999
        assert (answer.ids[:20, 0] == new[:20]).all()
    assert np.array_equal(np.sort(index.ids), np.sort(exact.ids))


def test_what_a_copy_changes_is_not_seen_in_the_original() -> None:
    index, _ = pair(pictures(ROWS, 1))
    queries = pictures(30, 2)
    before = index.search(queries, 10, exact=False)
    other = index.copy()
    other.remove(before.ids[:, 0])
    other.add(np.array([10**7]), queries[:1])
    third = other.copy()
    third.remove(np.array([10**7]))
    again = index.search(queries, 10, exact=False)
    assert np.array_equal(again.ids, before.ids)
    assert np.array_equal(again.scores, before.scores)
    changed = other.search(queries, 10, exact=False)
    assert changed.ids[0, 0] == 10**7
    assert not np.isin(before.ids[:, 0], changed.ids).any()
    assert third.search(queries, 10, exact=False).ids[0, 0] != 10**7
    assert index.approximate == other.approximate == third.approximate == 120


def test_threads_read_while_a_copy_changes() -> None:
    index, _ = copies()
    queries = np.concatenate([pictures(10, 2), texts(10, 3)])
    expected = index.search(queries, 10, exact=False).ids
    wrong: list[int] = []

    def read() -> None:
        for _ in range(30):
            found = index.search(queries, 10, exact=False).ids
            wrong.append(int((found != expected).sum()))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    other = index
    for step in range(20):
        other = other.copy()
        other.add(np.arange(20) + 10**6 + 20 * step, pictures(20, step))
        other.remove(other.ids[:15])
    for thread in threads:
        thread.join()
    assert wrong == [0] * 90


def test_filters_that_leave_out_few_rows_are_approximate_and_others_exact() -> None:
    index, exact = copies()
    draw = np.random.default_rng(2)
    queries = np.concatenate([pictures(60, 2), texts(60, 3)])
    best = exact.search(queries, 3).ids.ravel()
    few = ~np.isin(exact.ids, best)  # the very best rows may not answer
    assert 0 < (~few).sum() < 400
    answer = index.search(queries, 10, few, exact=False)
    assert set(answer.how) == {"approximate"}
    assert not np.isin(answer.ids, best).any()
    assert recall(answer, exact.search(queries, 10, few)) >= 0.999
    for share in (0.0, 0.001, 0.02, 0.5):
        mask = draw.random(len(exact.ids)) < share
        answer, expected = index.search(queries, 10, mask, exact=False), exact.search(queries, 10, mask)
        assert "approximate" not in answer.how
        assert np.array_equal(answer.ids, expected.ids)
    all_of_them = np.ones(len(exact.ids), np.bool_)
    assert set(index.search(queries, 10, all_of_them, exact=False).how) == {"approximate"}


@pytest.mark.parametrize("k", [1200, ROWS, ROWS + 5])
def test_more_neighbours_than_candidates_pay_for_are_exact(k: int) -> None:
    index, exact = copies()
    answer, expected = index.search(pictures(3, 2), k, exact=False), exact.search(pictures(3, 2), k)
    assert "approximate" not in answer.how
    assert np.array_equal(answer.ids, expected.ids)


def test_answers_are_exact_where_no_codes_reach_the_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_learning, "CANDIDATES", (12,))
    index, exact = pair(unit(np.random.default_rng(1).standard_normal((ROWS, DIMENSION))))
    assert index.trial is None
    assert index.measured_recall is None
    assert index.spec in ("Flat", index.exact.spec)
    queries = pictures(5, 2)
    answer = index.search(queries, 10, exact=False)
    assert "approximate" not in answer.how
    assert np.array_equal(answer.ids, exact.search(queries, 10).ids)


def test_codes_that_take_longer_than_exact_answers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_learning, "_WORTH", 0.8)
    index, _ = pair(pictures(ROWS, 1))
    assert index.trial is None


def test_texts_are_answered_exactly_where_recall_was_measured_on_pictures_alone() -> None:
    index, exact = pair(pictures(ROWS, 1), sample=0)
    assert index.measured_recall is not None
    assert index.measured_recall.texts is None
    assert set(index.search(pictures(5, 2), 10, exact=False).how) == {"approximate"}
    answer = index.search(texts(5, 2), 10, exact=False)
    assert "approximate" not in answer.how
    assert np.array_equal(answer.ids, exact.search(texts(5, 2), 10).ids)


def test_an_index_that_was_read_answers_as_the_one_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = copies()
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    monkeypatch.setattr(QuickIndex, "_learn_codes", lambda self: pytest.fail("codes were learnt again"))
    again = read_quick(file, DIMENSION)
    assert again is not None
    assert (again.spec, again.trial, again.recall) == (index.spec, index.trial, index.recall)
    queries = np.concatenate([pictures(20, 2), texts(20, 3)])
    for exact in (True, False):
        found, expected = (one.search(queries, 10, exact=exact) for one in (again, index))
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.scores, expected.scores)
    again.add(np.array([10**6]), pictures(1, 77))
    assert again.search(pictures(1, 77), 1, exact=False).ids.tolist() == [[10**6]]
    assert again.memory().mapped > ROWS * DIMENSION * 4
    assert KINDS["bounded"].read(file, DIMENSION) is None
    with file.open("wb") as stream:
        KINDS["bounded"].write(index.exact, stream)
    assert read_quick(file, DIMENSION) is None


@pytest.mark.filterwarnings("ignore")  # of names of types that a damaged header holds
def test_no_damage_of_the_codes_is_an_error_or_another_answer(tmp_path: Path) -> None:
    index, _ = pair(pictures(1500, 1), least=1000)
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    content = bytearray(file.read_bytes())
    queries = pictures(5, 2)
    expected = index.search(queries, 10, exact=False).ids
    part = np.random.default_rng(0).integers(128, 60_000, 150).tolist()
    unread = 0
    for byte in (*range(128), *part):
        content[byte] ^= 1 << byte % 8
        file.write_bytes(content)
        again = read_quick(file, DIMENSION)
        unread += again is None
        if again is not None:
            assert np.array_equal(again.search(queries, 10, exact=False).ids, expected)
        content[byte] ^= 1 << byte % 8
    assert unread > 200


def test_no_damage_changes_what_is_said_of_the_codes(tmp_path: Path) -> None:
    """Digits of recalls, of numbers of candidates and of times are as readable after a flipped bit."""
    index, _ = pair(pictures(1500, 1), least=1000)
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    content = bytearray(file.read_bytes())
    digits = [byte for byte in range(128, content.index(b'"checksum"')) if 48 <= content[byte] < 56]
    assert len(digits) > 30
    for byte in digits:
        content[byte] ^= 1
        file.write_bytes(content)
        assert read_quick(file, DIMENSION) is None
        content[byte] ^= 1
    file.write_bytes(content)
    again = read_quick(file, DIMENSION)
    assert again is not None
    assert again.trial == index.trial


@pytest.mark.parametrize("rows", [900, ROWS])
def test_learning_can_wait_for_all_rows(rows: int) -> None:
    index = QuickIndex(DIMENSION, texts(200, 5), least=1000)
    index.learn_later()
    for start in range(0, rows, 100):
        index.add(np.arange(start, start + 100), pictures(rows, 1)[start : start + 100])
    assert index.spec == "Flat"
    index.learn_now()
    assert (index.trial.recall.rows if index.trial else 0) == (rows if rows == ROWS else 0)
    assert ("Bound" in index.spec) == (rows == ROWS)
    index.learn_now()  # does nothing more
    again = index.copy()
    again.add(np.arange(100) + rows, pictures(100, 9))
    assert again.trial is not None
    assert recall(again.search(pictures(50, 3), 10), index.search(pictures(50, 3), 10)) > 0.5


def test_an_index_from_a_file_learns_both_codes_anew(tmp_path: Path) -> None:
    rows = pictures(16_500, 1)
    index = QuickIndex(DIMENSION, texts(200, 5), least=4096, recall=0.6)
    for start, end in ((0, 4096), (4096, 10_000)):
        index.add(np.arange(start, end), rows[start:end])
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    again = read_quick(file, DIMENSION)
    assert again is not None
    former = again.exact.held.projection
    assert former is not None
    again.add(np.arange(10_000, 16_500), rows[10_000:])
    assert again.trial is not None
    assert again.trial.recall.rows == 16_500
    assert again.exact.held.projection is not former
    answer, expected = (again.search(pictures(50, 7), 10, exact=exact) for exact in (False, True))
    assert recall(answer, expected) >= 0.6


def test_memory_counts_codes_and_vectors() -> None:
    index, _ = pair(pictures(ROWS, 1))
    bounded = BoundedIndex(DIMENSION, texts(200, 5), least=1000)
    bounded.add(np.arange(ROWS), pictures(ROWS, 1))
    held, without = index.memory(), bounded.memory()
    assert held.vectors == without.vectors >= ROWS * DIMENSION * 4
    assert index.trial is not None
    assert held.codes - without.codes >= ROWS * index.trial.point.width // 2


def test_candidates_grow_with_rows_and_neighbours() -> None:
    point = OperatingPoint(32, 100, 1000)
    asked = [(10, 1000), (1, 1000), (10, 500), (20, 1000), (10, 2500), (15, 2000)]
    assert [point.fetch(*one) for one in asked] == [100, 100, 100, 200, 250, 300]


def test_rotated_axes_are_orthonormal_and_spread_the_variance() -> None:
    rows = pictures(2000, 1)
    axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1][:, ::-1]
    rotated = rotated_axes(axes, 16)
    assert np.allclose(rotated.T @ rotated, np.eye(16), atol=1e-6)
    # They span the same subspace, and no coordinate varies much more than the others.
    assert np.allclose(rotated @ rotated.T, axes[:, :16] @ axes[:, :16].T, atol=1e-6)
    spread = [(rows @ one).var(axis=0) for one in (axes[:, :16], rotated)]
    assert spread[0].max() / spread[0].mean() > 2 * spread[1].max() / spread[1].mean()


def test_codes_of_many_equal_rows_name_as_many_candidates_as_are_asked_for() -> None:
    rows = np.repeat(pictures(1, 1), 900, axis=0)
    codes = QuickCodes.learnt(rotated_axes(np.eye(DIMENSION), 16), pictures(100, 2))
    codes.add(rows)
    found = codes.nearest(pictures(2, 3), 300)
    assert all(len(np.unique(one)) == 300 and one.min() >= 0 and one.max() < 900 for one in found)


@pytest.mark.parametrize(
    ("wanted", "rows", "name", "why"),
    [
        ("flat", 10**7, "flat", "by hand"),
        ("bounded", 10, "bounded", "by hand"),
        ("auto", 100, "quick", "fewer than 8,192"),
        ("auto", 100_000, "quick", "bounds prove"),
        ("no such kind", 100_000, "quick", "bounds prove"),
    ],
)
def test_a_kind_is_chosen_by_size_with_its_reason(wanted: str, rows: int, name: str, why: str) -> None:
    chosen = chosen_kind(wanted, rows, 64)
    assert chosen.name == name
    assert why in chosen.why
    assert chosen.kind is KINDS[name]


def test_a_chosen_recall_is_that_of_new_indexes() -> None:
    made = chosen_kind("auto", 100, DIMENSION, 0.9).kind.new(DIMENSION)
    assert isinstance(made, QuickIndex)
    assert made.recall == 0.9
