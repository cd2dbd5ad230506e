"""Reciprocal rank fusion, compared with sums written out by hand."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from medsiglip.index.search.fusion import Fused, reciprocal_rank_fusion


def test_scores_are_those_of_the_paper_s_formula() -> None:
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["c", "a", "d"]])
    assert [one.item for one in fused] == ["a", "c", "b", "d"]
    assert [one.score for one in fused] == pytest.approx(
        [1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63], rel=1e-15
    )
    assert fused[0].score == pytest.approx(0.032522474881015336)  # 0.016393442623 + 0.016129032258
    assert [one.ranks for one in fused] == [(1, 2), (3, 1), (2, None), (None, 3)]


def test_k_and_weights() -> None:
    assert reciprocal_rank_fusion([["a"], ["b", "a"]], k=0, weights=[3, 1]) == [
        Fused("a", 3.5, (1, 2)),
        Fused("b", 1.0, (None, 1)),
    ]
    assert [one.item for one in reciprocal_rank_fusion([["a", "b"], ["b", "a"]], weights=[1, 2])] == [
        "b",
        "a",
    ]
    assert reciprocal_rank_fusion([["a"], ["b"]], weights=[0, 1])[1] == Fused("a", 0.0, (1, None))


def test_ties_are_broken_by_the_best_place_and_then_by_the_item() -> None:
    assert [one.item for one in reciprocal_rank_fusion([[9, 3], [3, 9]])] == [3, 9]
    assert [one.item for one in reciprocal_rank_fusion([[7], [5]])] == [5, 7]
    # 1/10 on one side and 2/20 on the other
    first = ["x", *(f"f{n}" for n in range(8)), "a"]
    second = [*(f"s{n}" for n in range(19)), "b"]
    fused = reciprocal_rank_fusion([first, second], k=0, weights=[1, 2])
    a, b = (next(one for one in fused if one.item == name) for name in "ab")
    assert a.score == b.score
    assert fused.index(a) == fused.index(b) - 1


def test_nothing_and_what_is_named_twice() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], []]) == []
    assert reciprocal_rank_fusion([["a", "b", "a"]], k=0) == [Fused("a", 1.0, (1,)), Fused("b", 0.5, (2,))]


@pytest.mark.parametrize(
    ("k", "weights"), [(-1.0, None), (float("nan"), None), (60, [1]), (60, [1, -1]), (60, [1, float("inf")])]
)
def test_what_makes_no_sense_is_refused(k: float, weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        reciprocal_rank_fusion([["a"], ["b"]], k, weights)


def test_random_rankings_are_ranked_as_exact_fractions_are() -> None:
    draw = random.Random(5)
    for _ in range(300):
        items = list(range(30))
        rankings = [draw.sample(items, draw.randrange(31)) for _ in range(draw.randrange(1, 5))]
        exact = {
            item: sum(Fraction(1, 61 + one.index(item)) for one in rankings if item in one)
            for item in items
            if any(item in one for one in rankings)
        }
        best = {item: min(one.index(item) for one in rankings if item in one) for item in exact}
        fused = reciprocal_rank_fusion(rankings)
        assert [one.item for one in fused] == sorted(exact, key=lambda i: (-float(exact[i]), best[i], i))
        assert [one.score for one in fused] == pytest.approx([float(exact[one.item]) for one in fused])
