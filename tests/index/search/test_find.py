"""Questions with their own image, set to set and with words: pages, refusals and explanations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.search.ranking.cursor import Cursor, read_cursor
from medsiglip.index.search_records import Asked, Found, SearchOptions
from tests.index.index_cases import DIMENSION, make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Twelve studies of four patients, with one to three images each."""
    for study in range(12):
        index.add(
            [make_bundle(study, 1 + study % 3, patient=f"patient{study % 4}")],
            unit_vectors(1 + study % 3, study),
        )
    return index


def pages(index: CaseIndex, asked: Asked, options: SearchOptions) -> list[Found]:
    found = [index.find([asked], options)[0]]
    while found[-1].cursor is not None:
        found += index.find([replace(asked, cursor=found[-1].cursor)], options)
        assert len(found) < 100
    return found


def uids(found: list[Found]) -> list[str]:
    return [one.hit.study_instance_uid for page in found for one in page.hits]


@pytest.mark.long(every=4)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("chosen", [{}, {"per_patient": 2}, {"diversity": 0.5}, {"dedupe": 0.999}])
def test_the_own_image_comes_once_and_before_its_copies(
    index: CaseIndex, k: int, chosen: dict[str, Any]
) -> None:
    vector = unit_vectors(1, 5)
    ids = index.add(
        [make_bundle(study, 1, patient=f"p{study}") for study in range(6)], np.repeat(vector, 6, 0)
    )
    index.add([make_bundle(study, 1, patient=f"p{study}") for study in range(6, 9)], unit_vectors(3, 6))
    found = pages(index, Asked(vector[0], own_image=ids[3]), SearchOptions(k, **chosen))
    hits = [one.hit.image_id for page in found for one in page.hits]
    assert hits[0] == ids[3]
    assert len(set(hits)) == len(hits)
    if "dedupe" in chosen:
        assert len(hits) == 4
        assert {page.hits[0].collapsed for page in found[:1]} == {5}
        assert {one.image_id for one in found[0].hits[0].duplicates} == set(ids) - {ids[3]}
    else:
        assert len(hits) == 9
    if not chosen:
        assert hits[1:6] == sorted(set(ids) - {ids[3]})


def test_an_own_study_that_may_not_answer_is_not_put_first(filled: CaseIndex) -> None:
    vector = filled.vectors([filled.images_of("2.25.3")[0].image_id])[0]
    asked = Asked(vector, own_study="2.25.3")
    options = SearchOptions(3, "study")
    assert uids(filled.find([asked], options))[0] == "2.25.3"
    assert "2.25.3" not in uids(filled.find([replace(asked, exclude_patients=("patient3",))], options))
    assert "2.25.3" not in uids(filled.find([asked], replace(options, where=("patient_key!=patient3",))))


def symmetric(one: np.ndarray, other: np.ndarray) -> float:
    cosines = one.astype(np.float64) @ other.astype(np.float64).T
    return float((cosines.max(axis=0).mean() + cosines.max(axis=1).mean()) / 2)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_studies_are_ranked_set_to_set_over_pages_while_images_come(filled: CaseIndex, k: int) -> None:
    images = unit_vectors(3, 77)
    sets = {
        study.study_instance_uid: filled.vectors(
            [one.image_id for one in filled.images_of(study.study_instance_uid)]
        )
        for study in filled.studies()
    }
    scores = {uid: symmetric(images, vectors) for uid, vectors in sets.items()}
    expected = sorted(scores, key=lambda uid: -scores[uid])
    asked = Asked(images.mean(axis=0), images=images)
    options = SearchOptions(k, "study", compare="sets")
    [first] = filled.find([asked], options)
    filled.add([make_bundle(50, 2)], images[:2])
    filled.add([make_bundle(int(expected[-1].rpartition(".")[2]), 1, series=5)], images[:1])
    found = [first]
    while found[-1].cursor is not None:
        found += filled.find([replace(asked, cursor=found[-1].cursor)], options)
    assert uids(found) == expected
    for page in found:
        assert page.how in ("compared", "proven")
        for one in page.hits:
            uid = one.hit.study_instance_uid
            assert one.hit.score == pytest.approx(scores[uid], abs=1e-6)
            stored = {image.image_id: image for image in filled.images_of(uid)}
            best = max(one.pairs, key=lambda pair: pair.cosine)
            assert best.cosine == one.pairs[0].cosine
            assert {pair.query for pair in one.pairs} == {0, 1, 2}
            for pair in one.pairs:
                assert pair.cosine == pytest.approx((sets[uid] @ images[pair.query]).max(), abs=1e-6)
                assert stored[pair.image_id].study_instance_uid == uid


def test_words_and_vectors_are_fused(filled: CaseIndex) -> None:
    filled.report_texts.put(
        {"2.25.4": "Large pneumothorax.", "2.25.7": "No pneumothorax.", "2.25.8": "Fracture."}, "import"
    )
    query = unit_vectors(1, 31)[0]
    for level in ("image", "series", "study"):
        [by_vector] = filled.find([Asked(query)], SearchOptions(50, level))
        [found] = filled.find([Asked(query, words="pneumothorax")], SearchOptions(50, level))
        place = {one.hit.image_id: rank for rank, one in enumerate(by_vector.hits, start=1)}
        by_words = {
            one.study_instance_uid: rank
            for rank, one in enumerate(filled.report_texts.find("pneumothorax"), 1)
        }
        assert set(by_words) == {"2.25.4", "2.25.7"}
        sums = []
        for one in found.hits:
            assert one.found_by is not None
            assert one.found_by["vector"] == place[one.hit.image_id]
            if "words" in one.found_by:
                assert one.found_by["words"] == by_words[one.hit.study_instance_uid]
            sums.append(sum(1 / (60 + rank) for rank in one.found_by.values()))
        assert sums == sorted(sums, reverse=True)
        assert sum("words" in (one.found_by or {}) for one in found.hits) == 2
        assert {one.hit.study_instance_uid for one in found.hits[:2]} == set(by_words)
        paged = pages(filled, Asked(query, words="pneumothorax"), SearchOptions(4, level))
        assert [one.hit.image_id for page in paged for one in page.hits] == [
            one.hit.image_id for one in found.hits
        ]
    narrow = SearchOptions(50, "study", where=("patient_key=patient0",))
    [few] = filled.find([Asked(query, words="pneumothorax", exclude_patients=("patient3",))], narrow)
    assert set(uids([few])) == {"2.25.0", "2.25.4", "2.25.8"}
    assert [one.hit.study_instance_uid for one in few.hits if "words" in (one.found_by or {})] == ["2.25.4"]


WAYS: list[dict[str, Any]] = [
    {},
    {"per_patient": 1},
    {"diversity": 0.4},
    {"where": ("patient_key!=patient2",)},
]


def test_several_questions_have_the_answers_of_each(filled: CaseIndex) -> None:
    queries = unit_vectors(5, 3)
    asked = [
        Asked(query, exclude_patients=(f"patient{number % 4}",) if number else ())
        for number, query in enumerate(queries)
    ]
    for level in ("image", "series", "study"):
        for more in WAYS:
            options = SearchOptions(4, level, **more)
            together = filled.find(asked, options)
            alone = [filled.find([one], options)[0] for one in asked]
            assert [one.hits for one in together] == [one.hits for one in alone]
            assert [one.cursor for one in together] == [one.cursor for one in alone]
            assert together[0].explanation.together == 5


def test_a_cursor_of_another_question_way_home_or_model_is_refused(filled: CaseIndex) -> None:
    query, other = unit_vectors(2, 9)
    options = SearchOptions(2)
    cursor = filled.find([Asked(query)], options)[0].cursor
    assert cursor is not None
    refused = [
        (Asked(other), options),
        (Asked(query, exclude_patients=("patient1",)), options),
        (Asked(query, question=b"another"), options),
        (Asked(query), replace(options, level="study")),
        (Asked(query), replace(options, where=("modality=CT",))),
        (Asked(query), replace(options, per_patient=3)),
        (Asked(query), replace(options, min_score=0.0)),
    ]
    for asked, way in refused:
        with pytest.raises(CatalogError) as caught:
            filled.find([replace(asked, cursor=cursor)], way)
        assert caught.value.code == "bad-cursor"
    assert len(filled.find([Asked(query, cursor=cursor)], replace(options, k=7))[0].hits) == 7


def test_the_page_size_may_change_and_a_made_up_depth_costs_no_more(filled: CaseIndex) -> None:
    query = unit_vectors(1, 9)[0]
    whole = [one.hit.image_id for one in filled.find([Asked(query)], SearchOptions(100))[0].hits]
    [first] = filled.find([Asked(query)], SearchOptions(3))
    assert first.cursor is not None
    held = read_cursor(first.cursor)
    deep = Cursor(
        held.digest, held.vector, 2**63 - 1, 2**62, held.score, held.last, held.shown, held.own_is_shown
    )
    [second] = filled.find([Asked(query, cursor=deep.text())], SearchOptions(5))
    assert [one.hit.image_id for one in second.hits] == whole[3:8]
    assert second.explanation.candidates <= len(whole)


def test_chosen_hits_end_with_a_warning_where_a_cursor_lists_no_more(
    filled: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medsiglip.index.search.ranking.pages.MOST_SHOWN", 5)
    query = unit_vectors(1, 9)[0]
    [first] = filled.find([Asked(query)], SearchOptions(4, per_patient=20))
    [second] = filled.find([Asked(query, cursor=first.cursor)], SearchOptions(4, per_patient=20))
    assert (first.warnings, len(second.hits), second.cursor) == ((), 4, None)
    assert "8 hits were shown" in second.warnings[0]
    [whole] = filled.find([Asked(query)], SearchOptions(100, per_patient=20))
    assert (whole.warnings, whole.cursor) == ((), None)


def test_an_answer_is_explained(filled: CaseIndex) -> None:
    where = ("modality=CT", "patient_key!=patient2")
    [found] = filled.find([Asked(unit_vectors(1)[0])], SearchOptions(2, where=where))
    why = found.explanation
    assert (why.images, why.passing, why.together, why.compare) == (24, 18, 1, "means")
    assert {(step.level, step.filters, step.passing) for step in why.filters} == {
        ("series", ("modality=CT",), 12),
        ("study", ("patient_key!=patient2",), 9),
    }
    assert why.how == found.how
    assert why.looked_at >= 2
    assert set(why.milliseconds) == {"load", "filter", "nearest", "choose", "describe"}
    assert all(lap >= 0 for lap in why.milliseconds.values())


@pytest.mark.long(every=3)
@pytest.mark.parametrize(
    ("level", "fields"),
    [
        ("image", {"per_patient": 0}),
        ("series", {"per_series": 1}),
        ("study", {"per_study": 2}),
        ("image", {"dedupe": 1.5}),
        ("image", {"dedupe": float("nan")}),
        ("image", {"diversity": -0.1}),
        ("image", {"min_score": float("nan")}),
        ("image", {"compare": "sets"}),
        ("study", {"compare": "sums"}),
    ],
)
def test_ways_that_cannot_be_are_refused(filled: CaseIndex, level: Level, fields: dict[str, Any]) -> None:
    with pytest.raises(CatalogError) as caught:
        filled.find([Asked(unit_vectors(1)[0])], SearchOptions(2, level, **fields))
    assert caught.value.code == "bad-query"


@pytest.mark.parametrize(
    "asked",
    [
        Asked(np.ones(DIMENSION + 1, np.float32)),
        Asked(np.zeros(DIMENSION, np.float32)),
        Asked(np.ones(DIMENSION, np.float32), images=np.empty((0, DIMENSION), np.float32)),
        Asked(np.ones(DIMENSION, np.float32), images=np.zeros((2, DIMENSION), np.float32)),
        Asked(np.ones(DIMENSION, np.float32), images=np.ones((2, 3), np.float32)),
    ],
)
def test_vectors_without_a_direction_are_refused(filled: CaseIndex, asked: Asked) -> None:
    with pytest.raises(CatalogError) as caught:
        filled.find([asked], SearchOptions(2, "study", compare="sets"))
    assert caught.value.code == "bad-query"
