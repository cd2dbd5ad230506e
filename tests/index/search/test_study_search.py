"""Studies nearest to sets of images, against brute force over all of them."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.search import study_search
from medsiglip.index.search.group_level import GroupLevel, Members
from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.study_search import StudyHits, StudySearch
from medsiglip.index.vectors import unit_length
from tests.index.index_cases import unit_vectors
from tests.index.search.test_set_to_set import defined

NONE = np.empty(0, np.int64)


class Archive(NamedTuple):
    """Images with ids in no order, the study of each, and their vectors."""

    ids: np.ndarray
    studies: np.ndarray
    vectors: np.ndarray

    def search(self, allowed: np.ndarray | None = None, candidates: int = 300) -> StudySearch:
        index = DEFAULT.new(self.vectors.shape[1])
        index.add(self.ids, self.vectors)
        members = Members(self.ids, self.studies)
        means = GroupLevel(DEFAULT.new(self.vectors.shape[1])).changed(self.studies)
        means = means.renewed(index, self.ids, members)
        passing = None if allowed is None else np.unique(self.studies[allowed])
        return StudySearch(index, means, members, passing, candidates)


def archive(seed: int, studies: int, tightness: float, copies: bool = True) -> Archive:
    """Studies of one to nine images around directions of their own; with `copies`, some images occur in two
    studies.
    """
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(studies) * 5 + 2, draw.integers(1, 10, studies))
    centres = unit_vectors(studies, seed)[(owners - 2) // 5]
    vectors = unit_length((centres + tightness * unit_vectors(len(owners), seed + 1)).astype(np.float32))
    copied = draw.integers(0, len(owners), len(owners) // 5 * copies)
    vectors[copied] = vectors[draw.integers(0, len(owners), len(copied))]
    return Archive(draw.permutation(len(owners)).astype(np.int64) + 100, owners, vectors)


def brute_force(
    held: Archive, queries: np.ndarray, k: int, allowed: np.ndarray | None, without: np.ndarray
) -> list[tuple[float, int]]:
    passing = set(held.studies[slice(None) if allowed is None else allowed].tolist()) - set(without.tolist())
    scores = [(-np.float32(defined(queries, held.vectors[held.studies == one])), one) for one in passing]
    return [(-float(score), one) for score, one in sorted(scores)[:k]]


def check(held: Archive, queries: np.ndarray, found: StudyHits) -> None:
    """Scores and matched images are those of the studies that were found."""
    for score, study, matches in zip(found.scores, found.ids, found.matches, strict=True):
        own = np.flatnonzero(held.studies == study)
        own = own[np.argsort(held.ids[own])]
        assert abs(score - defined(queries, held.vectors[own])) < 1e-6
        cosines = (queries.astype(np.float64) @ held.vectors[own].astype(np.float64).T).astype(np.float32)
        assert matches.ids.tolist() == held.ids[own].tolist()
        assert matches.place.tolist() == cosines.argmax(axis=1).tolist()
        assert np.allclose(matches.cosine, cosines.max(axis=1), atol=1e-6)
        assert np.allclose(matches.best, cosines.max(axis=0), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    st.sampled_from([1, 3, 100]),
    st.booleans(),
    st.booleans(),
)
def test_equals_brute_force_where_all_are_compared(
    seed: int, studies: int, tightness: float, k: int, some_allowed: bool, some_without: bool
) -> None:
    held = archive(seed, studies, tightness)
    draw = np.random.default_rng(seed)
    allowed = draw.random(len(held.ids)) < 0.4 if some_allowed else None
    without = np.unique(draw.choice(held.studies, 4)) if some_without else NONE
    queries = unit_length(unit_vectors(int(draw.integers(1, 7)), seed + 2) + held.vectors[:1])
    found = held.search(allowed).nearest(queries, k, without)
    expected = brute_force(held, queries, k, allowed, without)
    assert found.how == "compared"
    assert found.ids.tolist() == [study for _, study in expected]
    assert np.allclose(found.scores, [score for score, _ in expected], atol=1e-6)
    check(held, queries, found)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    st.integers(1, 6),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_what_is_called_proven_is_brute_force(
    seed: int, tightness: float, candidates: int, k: int, filtered: bool
) -> None:
    held = archive(seed, 60, tightness)
    draw = np.random.default_rng(seed)
    allowed = draw.random(len(held.ids)) < 0.5 if filtered else None
    own = held.vectors[held.studies == held.studies[int(draw.integers(len(held.ids)))]]
    queries = unit_length(own + np.float32(0.1 * tightness) * unit_vectors(len(own), seed))
    found = held.search(allowed, candidates).nearest(queries, k, NONE)
    check(held, queries, found)
    assert found.looked_at <= 4 * max(k, candidates)
    expected = brute_force(held, queries, k, allowed, NONE)
    if found.how != "approximate":
        assert found.ids.tolist() == [study for _, study in expected]
    else:
        assert all(a <= b + 1e-6 for a, (b, _) in zip(found.scores.tolist(), expected, strict=True))


def test_bounds_prove_the_answers_of_tight_studies_and_not_of_wide_ones() -> None:
    found = {}
    for tightness in (0.02, 3.0):
        held = archive(1, 200, tightness, copies=False)
        search = held.search(candidates=5)
        found[tightness] = [
            search.nearest(held.vectors[held.studies == one], 2, NONE).how for one in (2, 7, 52)
        ]
    assert found == {0.02: ["proven"] * 3, 3.0: ["approximate"] * 3}


def test_candidates_grow_where_that_proves_the_answer() -> None:
    """Many studies lie about as near as the best: more are compared than was said at first."""
    directions = np.eye(16, dtype=np.float32)
    near = unit_length(directions[0] + 0.01 * unit_vectors(12, 1))
    vectors = np.concatenate([near, np.repeat(directions[1:], 10, axis=0)])
    held = Archive(np.arange(162), np.arange(162), vectors)
    found = held.search(candidates=4).nearest(directions[:1], 4, NONE)
    assert found.how == "proven"
    assert 4 < found.looked_at <= 16
    assert found.ids.tolist() == [one for _, one in brute_force(held, directions[:1], 4, None, NONE)]


def test_equal_studies_come_by_ascending_id() -> None:
    vectors = np.tile(unit_vectors(3, 5), (50, 1))
    held = Archive(np.arange(150)[::-1].copy(), np.repeat(np.arange(50)[::-1], 3), vectors)
    found = held.search().nearest(unit_vectors(2, 9), 50, NONE)
    assert found.ids.tolist() == list(range(50))
    assert len(set(found.scores.tolist())) == 1


def test_large_sets_are_thinned_for_a_first_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    held = archive(4, 60, 0.3)
    queries = held.vectors[held.studies == held.studies[0]]
    whole = held.search().nearest(queries, 2, NONE)
    monkeypatch.setattr(study_search, "_CELLS", 12 * len(queries) * 9)
    monkeypatch.setattr(study_search, "_THIN", 3)
    found = held.search().nearest(queries, 2, NONE)
    assert found.how == "approximate"
    assert 8 <= found.looked_at < 60
    assert found.ids[0] == whole.ids[0] == held.studies[0]
    assert found.scores[0] == pytest.approx(1)
    check(held, queries, found)


def test_no_study_answers_where_none_is_eligible() -> None:
    held = archive(1, 5, 0.1)
    for search, without in (
        (held.search(np.zeros(len(held.ids), np.bool_)), NONE),
        (held.search(), np.unique(held.studies)),
    ):
        found = search.nearest(unit_vectors(2), 3, without)
        assert (len(found.scores), len(found.ids), found.matches, found.how) == (0, 0, (), "compared")


def test_opposite_queries_without_a_mean_are_answered() -> None:
    held = archive(3, 30, 0.1)
    one = unit_vectors(1, 2)
    queries = np.concatenate([one, -one])
    found = held.search().nearest(queries, 30, NONE)
    expected = brute_force(held, queries, 30, None, NONE)
    assert found.ids.tolist() == [study for _, study in expected]


def test_the_spread_of_groups_is_that_of_their_images() -> None:
    held = archive(8, 20, 0.5)
    means = held.search()._means
    groups = defaultdict(list)
    for study, vector in zip(held.studies.tolist(), held.vectors.astype(np.float64), strict=True):
        groups[study].append(vector)
    assert means.spread.groups.tolist() == sorted(groups)
    for study, length, radius in zip(*means.spread, strict=True):
        centre = np.mean(groups[study], axis=0)
        assert length == pytest.approx(np.linalg.norm(centre), abs=1e-12)
        assert radius == pytest.approx(np.linalg.norm(groups[study] - centre, axis=1).max(), abs=1e-12)
