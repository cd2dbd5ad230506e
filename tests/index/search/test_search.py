"""Search against brute force over the stored vectors, whatever the level, filters and exclusions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Hit, Level, SeriesBundle, StoredImage
from medsiglip.index.search import space_loader
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.index_kinds import KINDS, ChosenKind
from medsiglip.index.search.ranking import ranking
from tests.index.conftest import Catalogue
from tests.index.index_cases import DIMENSION, SPACE, count_images, make_bundle, unit_vectors

MODALITIES = ("CT", "MR", "DX")
LEVELS: tuple[Level, ...] = ("image", "series", "study")


def random_archive(seed: int, studies: int) -> tuple[list[SeriesBundle], np.ndarray]:
    """Studies of a few patients with one or two series each; some vectors occur several times."""
    draw = np.random.default_rng(seed)
    bundles = [
        make_bundle(
            study,
            int(draw.integers(1, 5)),
            series=series,
            patient=f"patient-{study % max(1, studies // 2)}",
            series_fields={"modality": MODALITIES[draw.integers(0, 3)]},
        )
        for study in range(studies)
        for series in range(draw.integers(1, 3))
    ]
    vectors = unit_vectors(count_images(bundles), seed)
    return bundles, vectors[draw.integers(0, max(1, len(vectors) * 2 // 3), len(vectors))]


def brute_force(
    images: list[StoredImage],
    vectors: np.ndarray,
    query: np.ndarray,
    level: Level,
    modality: str | None,
    patient: str | None,
) -> dict[object, float]:
    """Score of everything that may answer, in float32."""
    members: dict[object, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        key = {
            "image": image.image_id,
            "series": image.series_instance_uid,
            "study": image.study_instance_uid,
        }[level]
        members[key].append(row)
    scores = {}
    for key, rows in members.items():
        if all(modality not in (None, images[row].modality) for row in rows):
            continue
        if images[rows[0]].patient_key == patient:
            continue
        mean = vectors[rows].mean(axis=0)
        scores[key] = float(mean / np.linalg.norm(mean) @ query)
    return scores


def key_of(hit: Hit, level: Level) -> object:
    return {"image": hit.image_id, "series": hit.series_instance_uid, "study": hit.study_instance_uid}[level]


def check(index: CaseIndex, seed: int, level: Level, k: int, modality: str | None, exclude: bool) -> None:
    images = [one for study in index.studies() for one in index.images_of(study.study_instance_uid)]
    vectors = index.vectors([one.image_id for one in images])
    second = min(1, len(images) - 1)
    queries = np.concatenate([unit_vectors(2, seed + 1), vectors[[0, second]]])
    patients = [None, images[-1].patient_key, images[0].patient_key, images[second].patient_key]
    patients = patients if exclude else [None] * 4
    where = [f"modality={modality}"] if modality else []
    answers = index.search(
        queries, k=k, level=level, where=where, exclude_patients=patients if exclude else ()
    )
    for query, patient, hits in zip(queries, patients, answers, strict=True):
        expected = brute_force(images, vectors, query, level, modality, patient)
        assert [hit.rank for hit in hits] == list(range(1, min(k, len(expected)) + 1))
        best = sorted(expected.values(), reverse=True)[:k]
        assert np.allclose([hit.score for hit in hits], best, atol=1e-6)
        assert len({key_of(hit, level) for hit in hits}) == len(hits)
        for hit in hits:
            assert abs(expected[key_of(hit, level)] - hit.score) < 1e-6
            check_best_image(hit, level, images, vectors, query, modality)
        if level == "image":
            assert [(hit.score, hit.image_id) for hit in hits] == sorted(
                ((hit.score, hit.image_id) for hit in hits), key=lambda pair: (-pair[0], pair[1])
            )


def check_best_image(
    hit: Hit,
    level: Level,
    images: list[StoredImage],
    vectors: np.ndarray,
    query: np.ndarray,
    modality: str | None,
) -> None:
    rows = [
        row
        for row, one in enumerate(images)
        if {"image": one.image_id, "series": one.series_instance_uid, "study": one.study_instance_uid}[level]
        == key_of(hit, level)
        and modality in (None, one.modality)
    ]
    scores = vectors[rows] @ query
    [shown] = [row for row in rows if images[row].image_id == hit.image_id]
    assert vectors[shown] @ query >= scores.max() - 1e-6
    assert (hit.sop_instance_uid, hit.frame, hit.path) == (
        images[shown].sop_instance_uid,
        images[shown].frame,
        images[shown].path,
    )
    assert hit.path is not None


@pytest.mark.long(every=3)
@pytest.mark.parametrize(
    ("kind", "batched"),
    [
        ("coded", 1000),
        ("flat", 0),
        pytest.param("coded", 0, marks=pytest.mark.campaign),
        pytest.param("quick", 1000, marks=pytest.mark.campaign),
    ],
)
def test_equals_brute_force_whichever_way_is_taken(
    tmp_path_factory: pytest.TempPathFactory,
    make_catalogue: Callable[[], Catalogue],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    batched: int,
) -> None:
    coded = replace(KINDS["bounded"], new=partial(BoundedIndex, least=20))
    chosen = ChosenKind(kind, coded if kind == "coded" else KINDS[kind], "for the test")
    monkeypatch.setattr(space_loader, "chosen_kind", lambda *_: chosen)
    monkeypatch.setattr(ranking, "BATCHED_EXCLUSIONS", batched)

    @settings(max_examples=6, deadline=None)
    @given(
        st.integers(0, 10**6),
        st.integers(1, 14),
        st.sampled_from([1, 3, 20, 500]),
        st.sampled_from([None, *MODALITIES]),
        st.booleans(),
    )
    def holds(seed: int, studies: int, k: int, modality: str | None, exclude: bool) -> None:
        home: Path = tmp_path_factory.mktemp("search") / "home"
        bundles, vectors = random_archive(seed, studies)
        with make_catalogue().open_migrated(home) as index:
            half = len(bundles) // 2
            first = count_images(bundles[:half])
            index.add(bundles[:half], vectors[:first])
            if half:
                index.search(vectors[:1], level="study")
            index.add(bundles[half:], vectors[first:])
            for level in LEVELS:
                check(index, seed, level, k, modality, exclude)
            if studies > 2:
                index.remove_study("2.25.1")
                index.compact()
                for level in LEVELS:
                    check(index, seed, level, k, modality, exclude)

    holds()


def test_series_and_study_vectors_follow_their_images(index: CaseIndex) -> None:
    first, second, third = np.eye(DIMENSION, dtype=np.float32)[:3]
    index.add([make_bundle(1, 1)], first[None])
    assert index.search(second[None], level="study")[0][0].score == 0
    index.add([make_bundle(1, 1, series=1)], second[None])
    assert index.search(second[None], level="study")[0][0].score == pytest.approx(0.5**0.5)
    index.add([make_bundle(1, 1, pixels="b", replace_series=True)], third[None])
    [hits] = index.search(first[None], level="study")
    assert [hit.score for hit in hits] == [0]
    [hits] = index.search(third[None], level="series")
    assert [(hit.series_instance_uid, hit.score) for hit in hits] == [("2.25.1.0", 1), ("2.25.1.1", 0)]


def test_equal_images_come_by_ascending_id(index: CaseIndex) -> None:
    vector = unit_vectors(1)
    ids = index.add([make_bundle(study, 3) for study in range(20)], np.repeat(vector, 60, axis=0))
    assert [hit.image_id for hit in index.search(vector, k=25)[0]] == sorted(ids)[:25]


def test_queries_need_not_be_of_unit_length_and_none_is_fine(index: CaseIndex) -> None:
    index.add([make_bundle(1, 1)], unit_vectors(1))
    assert index.search(unit_vectors(1) * 7)[0][0].score == pytest.approx(1, abs=1e-3)
    assert index.search(np.empty((0, DIMENSION), np.float32)) == []


def test_a_filter_that_nothing_passes_gives_no_hits(index: CaseIndex) -> None:
    index.add([make_bundle(1, 1)], unit_vectors(1))
    for level in ("image", "series", "study"):
        assert index.search(unit_vectors(2), level=level, where=["modality=US"]) == [[], []]
        assert index.search(unit_vectors(1), level=level, exclude_patients=["patient-1"]) == [[]]
        assert len(index.search(unit_vectors(1), level=level, exclude_patients=["unheard of"])[0]) == 1


@pytest.mark.parametrize(
    ("queries", "options", "message"),
    [
        (np.ones((1, DIMENSION + 1)), {}, str(DIMENSION)),
        (np.ones(DIMENSION), {}, str(DIMENSION)),
        (np.zeros((1, DIMENSION)), {}, "zero"),
        (np.full((1, DIMENSION), np.nan), {}, "not finite"),
        (np.ones((1, DIMENSION)), {"k": 0}, "k=0"),
        (np.ones((1, DIMENSION)), {"level": "patient"}, "patient"),
        (np.ones((2, DIMENSION)), {"exclude_patients": ["one"]}, "exclude"),
    ],
)
def test_a_bad_query_is_refused(
    index: CaseIndex, queries: np.ndarray, options: dict[str, Any], message: str
) -> None:
    index.add([make_bundle(1, 1)], unit_vectors(1))
    with pytest.raises(CatalogError, match=message) as caught:
        index.search(queries, **options)
    assert caught.value.code == "bad-query"


def test_a_sample_is_of_the_level_asked_for_and_of_nobody_left_out(index: CaseIndex) -> None:
    bundles, vectors = random_archive(3, 12)
    index.activate(SPACE)
    index.add(bundles, vectors)
    for level in ("image", "series", "study"):
        table = index.table(level)
        whole = index.sample_vectors(10_000, level=level)
        assert sorted(map(tuple, whole)) == sorted(map(tuple, table.vectors))
        others = index.sample_vectors(10_000, level=level, exclude_patient="patient-1")
        kept = [row for row, key in zip(table.vectors, table.patient_keys, strict=True) if key != "patient-1"]
        assert 0 < len(kept) < len(table.ids)
        assert sorted(map(tuple, others)) == sorted(map(tuple, np.array(kept)))
    assert 0 < len(index.sample_vectors(5)) <= 5
    assert len(index.sample_vectors(5, exclude_patient="nobody")) == len(index.sample_vectors(5))


def test_a_shard_that_was_missing_at_first_is_found_later(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    """The vectors come from a snapshot and one shard, whose file is put back after a search has missed it."""
    vectors = unit_vectors(62, 1)
    index.add([make_bundle(study, 3) for study in range(20)], vectors[:60])
    index.rebuild()
    before = set((home / "vectors").rglob("*.parquet"))
    index.add([make_bundle(50, 2)], vectors[60:])
    (shard,) = set((home / "vectors").rglob("*.parquet")) - before
    with catalogue.open(home) as again:
        aside = shard.rename(home / "aside.parquet")
        with pytest.raises(CatalogError) as caught:
            again.search(vectors[60:61])
        assert caught.value.code == "missing-shard"
        aside.rename(shard)
        found = {level: again.search(vectors, k=62, level=level) for level in LEVELS}
        with catalogue.open(home) as afresh:
            assert found == {level: afresh.search(vectors, k=62, level=level) for level in LEVELS}
        again.remove_study("2.25.3")
        for level in LEVELS:
            (hits,) = again.search(vectors[60:61], k=62, level=level)
            assert "2.25.3" not in {hit.study_instance_uid for hit in hits}
            assert hits[0].study_instance_uid == "2.25.50"
        assert again.verify().problems == ()
