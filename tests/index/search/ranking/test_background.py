"""The background of a question: the scores of all that may answer, as the archive is now."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Level
from medsiglip.index.search.ranking import background
from medsiglip.index.search_records import Asked, SearchOptions
from tests.index.index_cases import make_bundle, unit_vectors


def scores_of(index: CaseIndex, asked: Asked, level: Level) -> np.ndarray:
    return np.sort(index.background(asked, SearchOptions(level=level)))


@pytest.mark.parametrize("level", ["image", "study"])
def test_it_follows_what_is_added_and_removed(index: CaseIndex, level: Level) -> None:
    asked = Asked(unit_vectors(1, 99)[0])
    held: dict[int, np.ndarray] = {}

    def expected(without: int | None = None) -> np.ndarray:
        query = asked.vector.astype(np.float64)
        vectors = [one for study, one in held.items() if study != without]
        if level == "study":
            means = np.stack([one.astype(np.float64).mean(axis=0) for one in vectors])
            return np.sort(means / np.linalg.norm(means, axis=1, keepdims=True) @ query)
        return np.sort(np.concatenate(vectors) @ query)

    for study in range(4):
        held[study] = unit_vectors(2, study)
        index.add([make_bundle(study, 2, patient=f"p{study}")], held[study])
        assert scores_of(index, asked, level) == pytest.approx(expected(), abs=1e-6)
        assert scores_of(index, asked, level) == pytest.approx(expected(), abs=1e-6)
    one = Asked(asked.vector, exclude_patients=("p1",))
    assert scores_of(index, one, level) == pytest.approx(expected(without=1), abs=1e-6)
    index.remove_study("2.25.2")
    del held[2]
    assert scores_of(index, asked, level) == pytest.approx(expected(), abs=1e-6)


def test_of_many_images_an_even_choice_counts(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "VECTORS", 10)
    vectors = unit_vectors(95, 3)
    index.add([make_bundle(0, 95)], vectors)
    asked = Asked(unit_vectors(1, 99)[0])
    assert scores_of(index, asked, "image") == pytest.approx(np.sort(vectors[::10] @ asked.vector), abs=1e-6)


def test_a_question_of_another_model_has_no_scores(index: CaseIndex) -> None:
    index.add([make_bundle(0, 3)], unit_vectors(3, 3))
    for compare, level in (("means", "image"), ("sets", "study")):
        options = SearchOptions(level=level, compare=compare)  # type: ignore[arg-type]
        assert index.background(Asked(np.ones(3, np.float32)), options).shape == (0,)
