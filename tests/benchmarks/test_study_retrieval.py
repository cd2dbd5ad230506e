"""The figures of study retrieval, against loops that follow their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search import study_retrieval
from benchmarks.search.study_retrieval import Studies

STUDIES = 30


def drawn(seed: int) -> Studies:
    """Studies of one to four images; three patients in ten have two, of one anatomy."""
    draw = np.random.default_rng(seed)
    owners = np.sort(draw.choice(20, STUDIES))
    found = [("normal", "effusion", "nodule")[place] for place in draw.integers(0, 3, STUDIES)]
    shown = tuple(
        frozenset({f"{'skin' if owner < 10 else 'chest'}/{name}"})
        for owner, name in zip(owners, found, strict=True)
    )
    starts = np.cumsum([0, *draw.integers(1, 5, STUDIES)])
    vectors = draw.standard_normal((starts[-1], 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Studies(tuple(f"P{owner}" for owner in owners), shown, vectors, starts)


def precision(studies: Studies, rule: str, scores: np.ndarray, without: str = "") -> float:
    """Mean precision at 5, in an archive without a patient."""
    rows = [row for row, patient in enumerate(studies.patients) if patient != without]
    found = []
    for query in rows:
        [name] = studies.shown[query]
        others = [row for row in rows if studies.patients[row] != studies.patients[query]]
        if rule == "finding":
            anatomy = name.partition("/")[0]
            others = [row for row in others if next(iter(studies.shown[row])).startswith(anatomy)]
            if name.endswith("normal"):
                continue
        relevant = {row for row in others if studies.shown[row] & studies.shown[query]}
        if 0 < len(relevant) < len(others):
            best = sorted(others, key=lambda row: -scores[query, row])[:5]
            found.append(len(relevant & set(best)) / 5)
    return float(np.mean(found))


@pytest.mark.parametrize("rule", study_retrieval.RULES)
def test_a_gain_and_its_jackknife(rule: str) -> None:
    studies = drawn(7)
    scores = study_retrieval.every_score(studies, {"sets, local scaling": 4})
    by_means, by_other = scores["means"], scores["sets, local scaling"]
    found = study_retrieval.gain(studies, rule, by_means, by_other)
    assert found.means == pytest.approx(precision(studies, rule, by_means))
    assert found.other == pytest.approx(precision(studies, rule, by_other))
    patients = sorted(set(studies.patients))
    left = [
        precision(studies, rule, by_other, one) - precision(studies, rule, by_means, one) for one in patients
    ]
    variance = (len(patients) - 1) * float(np.var(left))
    assert found.variance == pytest.approx(variance)


def test_local_scaling_takes_off_half_of_what_is_usual() -> None:
    scores = np.random.default_rng(3).random((9, 9))
    scores = scores + scores.T
    found = study_retrieval.locally_scaled(scores, 4)
    for query in range(9):
        for study in range(9):
            usual = np.mean(sorted(np.delete(scores[study], study))[-4:])
            assert found[query, study] == pytest.approx(scores[query, study] - usual / 2)


def test_archives_are_cut_in_order() -> None:
    studies = drawn(8)
    parts = list(study_retrieval.archives(studies, 10))
    assert [one for part in parts for one in part.patients] == list(studies.patients)
    assert (np.concatenate([part.vectors for part in parts]) == studies.vectors).all()
    for number, part in enumerate(parts):
        sizes = np.diff(studies.starts)[10 * number : 10 * number + 10]
        assert np.diff(part.starts).tolist() == sizes.tolist()
        assert part.starts[-1] == len(part.vectors)
