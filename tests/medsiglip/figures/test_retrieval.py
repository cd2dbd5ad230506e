from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from medsiglip.errors import ModelError
from medsiglip.figures.retrieval import evaluate_retrieval


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def cases() -> Any:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, 80)
    vectors = unit(rng.normal(size=(80, 16)) + 2 * np.eye(16)[kinds])
    groups = [f"patient-{number}" for number in rng.integers(0, 25, 80)]
    labels = [{"abcd"[kind]} | ({"rare"} if rng.random() < 0.05 else set()) for kind in kinds]
    labels[0] = set()
    labels[1] = {"only-here"}
    return vectors, groups, labels


def one_query(vectors: Any, groups: Any, labels: Any, query: Any, label: Any = None) -> Any:
    """Precision, recall at 5 and average precision of one query, said plainly."""
    others = [i for i in range(len(vectors)) if groups[i] != groups[query]]
    wanted = labels[query] if label is None else {label}
    relevant = np.array([bool(wanted & labels[i]) for i in others])
    if not relevant.any() or relevant.all():
        return None
    scores = np.array([vectors[query] @ vectors[i] for i in others])
    first = relevant[np.argsort(-scores)[:5]].sum()
    return first / 5, first / relevant.sum(), average_precision_score(relevant, scores), relevant.mean()


@pytest.mark.parametrize("block", [2**22, 80 * 7])
def test_figures_equal_a_plain_loop(cases: Any, block: Any) -> None:
    vectors, groups, labels = cases
    report = evaluate_retrieval(vectors, groups, labels, block=block)
    for label in (None, "a", "rare"):
        figures = report.overall if label is None else report.by_label[label]
        queries = [i for i in range(80) if label is None or label in labels[i]]
        each = [one_query(vectors, groups, labels, query, label) for query in queries]
        found = [values for values in each if values is not None]
        expected = np.mean(found, axis=0)
        assert figures.queries == len(found)
        assert figures.excluded == len(queries) - len(found)
        assert figures.precision_at[5] == pytest.approx(expected[0], abs=1e-9)
        assert figures.recall_at[5] == pytest.approx(expected[1], abs=1e-9)
        assert figures.map == pytest.approx(expected[2], abs=1e-9)
        assert figures.chance == pytest.approx(expected[3], abs=1e-9)


@pytest.mark.parametrize("block", [2**22, 80 * 7])
def test_given_scores_count_in_place_of_those_of_vectors(cases: Any, block: Any) -> None:
    """Also where a label of the query is not known of all, so that its neighbours are others."""
    vectors, groups, labels = cases
    others = unit(np.random.default_rng(5).normal(size=vectors.shape))
    unknown = {"a": np.arange(80) % 5 == 0}
    expected = evaluate_retrieval(others, groups, labels, unknown=unknown).to_json()
    found = evaluate_retrieval(
        vectors, groups, labels, unknown=unknown, block=block, score=lambda rows: others[rows] @ others.T
    ).to_json()
    assert found["precision_at"] == pytest.approx(expected["precision_at"])
    assert found["by_label"]["a"]["map"] == pytest.approx(expected["by_label"]["a"]["map"])
    assert found["precision_at"] != evaluate_retrieval(vectors, groups, labels).to_json()["precision_at"]


def test_queries_with_nothing_relevant_are_counted(cases: Any) -> None:
    vectors, groups, labels = cases
    report = evaluate_retrieval(vectors, groups, labels)
    assert report.overall.queries + report.overall.excluded == 80
    assert report.overall.excluded >= 2
    assert report.by_label["only-here"].queries == 0
    assert report.by_label["only-here"].excluded == 1
    assert math.isnan(report.by_label["only-here"].map)


def test_own_patient_is_never_found() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(30), 4)
    vectors = unit(np.eye(30)[patients] + 0.01 * rng.normal(size=(120, 30)))
    labels = [{f"{patient % 3}"} for patient in patients]
    report = evaluate_retrieval(vectors, patients.tolist(), labels)
    # Patients are at random to each other; finding oneself would give a precision of 1.
    assert report.overall.precision_at[1] < 0.6
    alone = evaluate_retrieval(vectors, list(range(120)), labels)
    assert alone.overall.precision_at[1] == 1.0


def test_identical_vectors_score_at_chance_in_any_order() -> None:
    labels = [{"a"}] * 30 + [{"b"}] * 70
    report = evaluate_retrieval(np.tile(unit(np.ones((1, 8))), (100, 1)), list(range(100)), labels)
    for k in (1, 5, 10):
        assert report.overall.precision_at[k] == pytest.approx(report.overall.chance, abs=1e-9)


def test_row_order_does_not_matter(cases: Any) -> None:
    vectors, groups, labels = cases
    order = np.random.default_rng(2).permutation(80)
    first = evaluate_retrieval(vectors, groups, labels).overall
    second = evaluate_retrieval(
        vectors[order], [groups[i] for i in order], [labels[i] for i in order]
    ).overall
    assert first.map == pytest.approx(second.map, abs=1e-9)
    assert first.ci["map"] == pytest.approx(second.ci["map"], abs=1e-9)


def test_the_effect_of_a_candidate_is_what_leaving_it_out_changes() -> None:
    from medsiglip.figures.metrics import average_precision, precision_at, rank, recall_at
    from medsiglip.figures.neighbour_influence import removal_effects

    rng = np.random.default_rng(4)
    scores = rng.normal(size=(20, 30))
    relevant = rng.random((20, 30)) < 0.3
    assert (relevant.sum(axis=1) > 2).all()
    ks = (1, 5)

    def figures(columns: Any) -> Any:
        ranking, theirs = rank(scores[:, columns]), relevant[:, columns]
        values = [of(ranking, theirs, k).sum() for of in (precision_at, recall_at) for k in ks]
        return np.array([*values, average_precision(ranking, theirs).sum()])

    effects = removal_effects(rank(scores), relevant, ks)
    for candidate in range(30):
        left = np.arange(30) != candidate
        change = figures(left) - figures(np.ones(30, dtype=bool))
        assert effects[candidate] == pytest.approx(change, abs=1e-9)


def test_a_neighbour_of_which_the_label_is_not_known_is_left_out() -> None:
    rng = np.random.default_rng(6)
    vectors = unit(rng.normal(size=(60, 8)))
    labels = [{"a"} if i % 3 == 0 else {"b"} if i % 3 == 1 else set() for i in range(60)]
    unknown = {"a": np.arange(60) % 4 == 3, "b": np.arange(60) >= 40}
    report = evaluate_retrieval(vectors, list(range(60)), labels, unknown=unknown)

    def known(item: int, label: str) -> bool:
        return label in labels[item] or not unknown[label][item]

    for name in "ab":
        precision = []
        for query in (i for i in range(60) if name in labels[i]):
            others = [i for i in range(60) if i != query and known(i, name)]
            ranked = sorted(others, key=lambda i: -float(vectors[query] @ vectors[i]))
            precision.append(sum(name in labels[i] for i in ranked[:5]) / 5)
        assert report.by_label[name].precision_at[5] == pytest.approx(np.mean(precision))
        assert report.overall.queries == 40


def test_a_query_to_which_nothing_is_known_to_be_irrelevant_has_no_figures() -> None:
    """Whatever the ranking, it is perfect: twelve cases with the label, two without, eight not known."""
    vectors, patients = unit(np.random.default_rng(8).normal(size=(22, 8))), list(range(22))
    labels, unknown = [{"a"}] * 12 + [set()] * 10, np.arange(22) >= 12
    nothing = evaluate_retrieval(vectors, patients, labels, unknown={"a": unknown}).by_label["a"]
    assert (nothing.queries, nothing.excluded) == (0, 12)
    assert math.isnan(nothing.map)
    assert math.isnan(nothing.ci["map"][0])
    assert nothing.reason == "no case of another patient is known to carry none of a query's labels"
    # The two without it are of the patient of the first two with it, who have none to be told from.
    patients[12:14] = patients[:2] = [0, 0]
    unknown &= np.arange(22) > 13
    figures = evaluate_retrieval(vectors, patients, labels, unknown={"a": unknown}).by_label["a"]
    assert (figures.queries, figures.excluded, figures.reason) == (10, 2, None)
    assert figures.chance == pytest.approx(11 / 13)
    lonely = evaluate_retrieval(vectors, [0] * 22, labels).overall
    assert lonely.reason == "no case that carries one of the labels shares it with a case of another patient"


def test_json_has_the_documented_keys(cases: Any) -> None:
    content = json.loads(json.dumps(evaluate_retrieval(*cases).to_json()))
    assert set(content["precision_at"]) == set(content["recall_at"]) == {"1", "5", "10"}
    assert {"queries", "excluded", "map", "ci", "by_label"} <= set(content)
    assert len(content["ci"]["precision_at_5"]) == 2


@pytest.mark.parametrize(
    ("count", "labels", "code"), [(2, [{"a"}] * 3, "shape-mismatch"), (3, [set()] * 3, "no-labels")]
)
def test_bad_input_is_named(count: Any, labels: Any, code: Any) -> None:
    with pytest.raises(ModelError) as caught:
        evaluate_retrieval(np.eye(3, dtype=np.float32), list(range(count)), labels)
    assert caught.value.code == code
