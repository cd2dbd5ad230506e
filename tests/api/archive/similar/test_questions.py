"""Questions of several parts: their vectors against plain arithmetic, regions, pages, and many at once."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.similar.crops import cut_out
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.preprocess import to_model_input
from tests.api.conftest import Home, Phantoms


@pytest.fixture(scope="module")
def archive(home: Home) -> Iterator[Archive]:
    with Archive(home.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def image_ids(archive: Archive) -> list[int]:
    """Images of as many patients, one of each."""
    table = archive.index.table("image", ["modality!=CT"])
    first = dict(zip(table.patient_keys, table.image_ids.tolist(), strict=True))
    return sorted(first.values())


def unit(total: np.ndarray) -> np.ndarray:
    direction: np.ndarray = total / np.linalg.norm(total)
    return direction


def of_image(archive: Archive, image_id: int) -> np.ndarray:
    vector: np.ndarray = archive.index.vectors([image_id])[0].astype(np.float64)
    return vector


def of_study(archive: Archive, uid: str) -> np.ndarray:
    images = archive.index.images_of(uid)
    return unit(archive.index.vectors([one.image_id for one in images]).astype(np.float64).mean(axis=0))


def assert_asked(
    archive: Archive, query: np.ndarray, patients: set[str], level: str = "image", **question: Any
) -> dict[str, Any]:
    """Assert that a question has the hits of a vector, without those of these patients; its description."""
    found = archive.search(**question, k=12)
    expected = archive.search(vector=query.tolist(), k=100, level=level)
    kept = [hit for hit in expected.hits if hit.patient_key not in patients][:12]
    assert len(kept) == 12
    assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in kept], abs=2e-6)
    assert {hit.patient_key for hit in found.hits}.isdisjoint(patients)
    return found.query


def patients_of(archive: Archive, *image_ids: int) -> set[str]:
    return {archive.index.get(one).patient_key for one in image_ids}


def test_several_images_are_their_mean_direction(
    archive: Archive, image_ids: list[int], phantoms: Phantoms
) -> None:
    a, b, c = image_ids[:3]
    mean = unit(np.sum([of_image(archive, one) for one in (a, b, c)], axis=0))
    query = assert_asked(archive, mean, patients_of(archive, a, b, c), image_ids=[a, b, c])
    assert [one["image_id"] for one in query["files"]] == [a, b, c]
    files = [archive.index.get(one).path for one in (a, b, c)]
    assert_asked(archive, mean, patients_of(archive, a, b, c), images=files)
    first, second = list(phantoms.by_study)[:2]
    both = unit(of_study(archive, first) + of_study(archive, second))
    patients = set(archive.index.patients_of([first, second]).values())
    asked: dict[str, Any] = {"studies": [first, second], "level": "study", "compare": "means"}
    query = assert_asked(archive, both, patients, **asked)
    assert [one["study_instance_uid"] for one in query["studies"]] == [first, second]


def test_a_vector_is_a_list_an_array_json_or_base64(archive: Archive, image_ids: list[int]) -> None:
    vector = archive.index.vectors([image_ids[0]])[0]
    forms: list[Any] = [
        vector.tolist(),
        vector * 1000,
        str(vector.tolist()),
        b64encode(vector.astype("<f4").tobytes()).decode(),
    ]
    for form in forms:
        found = archive.search(vector=form, k=3)
        assert found.hits[0].image_id == image_ids[0]
        assert found.hits[0].score == pytest.approx(1, abs=1e-5)
        assert found.query == {"vector": len(vector)}


def test_text_and_image_are_added_with_their_weights(archive: Archive, image_ids: list[int]) -> None:
    text = archive.encoder.encode_texts(["a dark mole"])[0].astype(np.float64)
    image = of_image(archive, image_ids[0])
    for share in (0.1, 0.5, 0.9):
        weights = {"text": share, "image": 1 - share}
        query = assert_asked(
            archive,
            unit(share * text + (1 - share) * image),
            patients_of(archive, image_ids[0]),
            text="a dark mole",
            image_id=image_ids[0],
            weights=weights,
        )
        assert query["weights"] == weights
        assert (query["text"], query["image_id"]) == ("a dark mole", image_ids[0])


def test_only_the_ratio_of_weights_counts(archive: Archive, image_ids: list[int]) -> None:
    asked: dict[str, Any] = {"text": "a dark mole", "image_id": image_ids[0], "k": 5}
    expected = [hit.image_id for hit in archive.search(**asked, weights={"text": 1, "image": 3}).hits]
    for scale in (1e-300, 1e-9, 1e5):
        found = archive.search(**asked, weights={"text": scale, "image": 3 * scale})
        assert [hit.image_id for hit in found.hits] == expected


@pytest.mark.parametrize("image_id", [0, -1, 2**63, 10**30])
def test_an_id_beyond_all_ids_is_unknown(archive: Archive, image_id: int) -> None:
    for question in ({"image_id": image_id}, {"positive": [image_id]}, {"image_id": image_id, "crop": BOX}):
        with pytest.raises(CatalogError) as caught:
            archive.search(**question)
        assert caught.value.code == "unknown-image"


def test_examples_move_the_query(archive: Archive, image_ids: list[int], phantoms: Phantoms) -> None:
    """q = a * query + b * mean(positive) - c * mean(negative)."""
    study, other = list(phantoms.by_study)[:2]
    a, b, c, d = image_ids[4:8]
    base, text = of_image(archive, a), archive.encoder.encode_texts(["mole"])[0].astype(np.float64)
    positive = (of_image(archive, b) + of_study(archive, study)) / 2
    negative = (of_image(archive, c) + of_image(archive, d)) / 2
    owners = patients_of(archive, a, b) | set(archive.index.patients_of([study]).values())
    examples: dict[str, Any] = {"positive": [b, study], "negative": [c, str(d)]}
    moved = unit(base + 0.75 * positive - 0.15 * negative)
    query = assert_asked(archive, moved, owners, image_id=a, **examples)
    assert query["weights"] == {"query": 1.0, "positive": 0.75, "negative": 0.15}
    assert [len(query[name]) for name in ("positive", "negative")] == [2, 2]
    weights = {"query": 0.5, "positive": 2.0, "negative": 1.0}
    moved = unit(0.5 * base + 2 * positive - negative)
    assert assert_asked(archive, moved, owners, image_id=a, weights=weights, **examples)["weights"] == weights
    alone = unit(0.75 * of_study(archive, other) - 0.15 * of_image(archive, c))
    theirs = set(archive.index.patients_of([other]).values())
    assert_asked(archive, alone, theirs, positive=[other], negative=[c])
    assert_asked(archive, unit(text - 0.15 * of_image(archive, c)), set(), text="mole", negative=[c])


BOX = (0.25, 0.1, 0.75, 0.6)


def test_a_region_is_cut_out_of_the_rendering(archive: Archive, image_ids: list[int]) -> None:
    from PIL import Image

    stored = archive.index.get(image_ids[0])
    assert stored.path is not None
    found = archive.search(image=stored.path, crop=BOX, k=12)
    again = archive.search(image_id=stored.image_id, crop=BOX, k=12)
    assert [hit.image_id for hit in found.hits] == [hit.image_id for hit in again.hits]
    assert found.query["crop"] == list(BOX)
    from medsiglip.api.archive.queries import rendered_file

    [rendered] = rendered_file(stored.path, archive)
    height, width = rendered.pixels.shape[:2]
    box = (int(0.25 * width), int(0.1 * height), int(np.ceil(0.75 * width)), int(np.ceil(0.6 * height)))
    part = np.asarray(Image.fromarray(rendered.pixels).crop(box))
    model_input = to_model_input(part, archive.encoder.image_size, archive.space.profile)
    vector = archive.encoder.encode_images([model_input])[0].astype(np.float64)
    assert_asked(archive, vector, {stored.patient_key}, image=stored.path, crop=BOX)
    whole = archive.search(image=stored.path, k=12)
    assert [hit.score for hit in whole.hits] != pytest.approx([hit.score for hit in found.hits], abs=1e-4)


@pytest.mark.parametrize("shape", [(10, 20), (7, 5, 3), (1, 1)])
def test_every_pixel_that_a_region_touches_is_in_it(shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert np.array_equal(cut_out(pixels, (0.0, 0.0, 1.0, 1.0)), pixels)
    height, width = shape[:2]
    draw = np.random.default_rng(3)
    for _ in range(200):
        (left, right), (top, bottom) = np.sort(draw.random((2, 2)), axis=1)
        columns = [x for x in range(width) if x + 1 > left * width and x < right * width]
        rows = [y for y in range(height) if y + 1 > top * height and y < bottom * height]
        assert np.array_equal(cut_out(pixels, (left, top, right, bottom)), pixels[np.ix_(rows, columns)])
    assert cut_out(pixels, (1 - 1e-12, 1 - 1e-12, 1.0, 1.0)).shape[:2] == (1, 1)


def test_a_region_of_an_image_whose_file_is_gone(own_home: Home, phantoms: Phantoms, tmp_path: Path) -> None:
    import shutil

    from tests.api.conftest import run

    moved = tmp_path / "a.dcm"
    shutil.copy(min(phantoms.dicom.rglob("*.dcm")), moved)
    assert run("--home", tmp_path / "one", "--json", "ingest", moved).json["embedded"] == 1
    moved.unlink()
    with Archive(tmp_path / "one") as archive:
        [study] = archive.index.studies()
        [image] = archive.index.images_of(study.study_instance_uid)
        with pytest.raises(ServiceError, match="put it back") as caught:
            archive.search(image_id=image.image_id, crop=BOX)
        assert caught.value.code == "picture-gone"


def test_pages_hold_what_one_long_page_does(archive: Archive, image_ids: list[int]) -> None:
    ways: list[dict[str, Any]] = [
        {"text": "a mole"},
        {"text": "a mole", "per_label": 3, "level": "study"},
        {"image_id": image_ids[0], "include_same_patient": True, "diversity": 0.5},
        {"image": archive.index.get(image_ids[1]).path, "include_same_patient": True},
    ]
    for way in ways:
        whole = archive.search(**way, k=17)
        hits: list[Any] = []
        cursor = None
        for k in (1, 4, 12):
            page = archive.search(**way, k=k, cursor=cursor)
            hits += page.hits
            cursor = page.cursor
        assert [hit.image_id for hit in hits] == [hit.image_id for hit in whole.hits]
        assert [hit.rank for hit in hits] == list(range(1, 18))[: len(hits)]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in whole.hits], abs=1e-6)
        with pytest.raises(CatalogError) as caught:
            archive.search(**way | {"level": "series"}, cursor=archive.search(**way, k=1).cursor)
        assert caught.value.code == "bad-cursor"


def test_studies_are_compared_set_to_set(archive: Archive, phantoms: Phantoms) -> None:
    study = next(one.study_instance_uid for one in archive.index.studies(["modality=CT"]))
    found = archive.search(study=study, k=5)
    assert archive.search(study=study, k=5, compare="sets").hits == found.hits
    own = archive.index.images_of(study)
    vectors = archive.index.vectors([one.image_id for one in own]).astype(np.float64)
    for hit in found.hits:
        theirs = archive.index.images_of(hit.study_instance_uid)
        cosines = vectors @ archive.index.vectors([one.image_id for one in theirs]).astype(np.float64).T
        score = (cosines.max(axis=0).mean() + cosines.max(axis=1).mean()) / 2
        assert hit.score == pytest.approx(score, abs=1e-6)
        for pair in hit.pairs:
            assert own[pair.query].image_id == pair.query_image_id
            assert pair.cosine == pytest.approx(cosines[pair.query].max(), abs=1e-6)
    assert found.background is not None
    assert found.background.count == len({*phantoms.by_study}) - 1
    means = archive.search(study=study, k=5, compare="means")
    assert all(hit.pairs == () for hit in means.hits)
    assert [hit.score for hit in means.hits] != pytest.approx([hit.score for hit in found.hits], abs=1e-4)


def test_several_questions_are_answered_in_order(archive: Archive, image_ids: list[int]) -> None:
    study = archive.index.studies()[0].study_instance_uid
    questions: list[dict[str, Any]] = [
        {"text": "a mole", "k": 3},
        {"text": " ?! "},
        {"image_id": image_ids[0], "k": 3},
        {"image_id": 10**9},
        {"text": "a chest X-ray", "k": 3},
        {"text": "a mole", "cursor": "nonsense"},
        {"study": study, "k": 2},
        {"study": "1.2.3"},
        {"text": "a mole", "where": ["modalty=CT"]},
        {"vector": [1.0, 2.0]},
        {"text": "a mole", "image_id": image_ids[0]},
        {"text": "a mole", "where": ["modality=XC"], "per_patient": 1, "explain": True, "k": 3},
    ]
    results = archive.search_many(questions).results
    codes = [None if one.error is None else one.error.code for one in results]
    assert codes == [
        *(None, "empty-text", None, "unknown-image", None, "bad-cursor", None, "unknown-study"),
        *("bad-filter", "bad-query", "one-of", None),
    ]
    for question, result in zip(questions, results, strict=True):
        if result.error is None:
            alone = archive.search(**question)
            assert [hit.image_id for hit in result.hits] == [hit.image_id for hit in alone.hits]
            assert (result.query, result.level) == (alone.query, alone.level)
            assert (result.cursor is None) == (alone.cursor is None)
    assert results[-1].why_found is not None
    with pytest.raises(ServiceError, match="64") as caught:
        archive.search_many([{"text": "a"}] * 65)
    assert caught.value.code == "too-many-queries"
    with pytest.raises(ServiceError, match="hits") as caught:
        archive.search_many([{"text": "a", "k": 1000}] * 11)
    assert caught.value.code == "too-many-queries"


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("one-of", {}),
        ("one-of", {"text": "a", "vector": [1.0]}),
        ("one-of", {"text": "a", "study": "1.2", "weights": {"text": 1.0}}),
        ("one-of", {"negative": [3]}),
        ("bad-vector", {"vector": "a"}),
        ("bad-vector", {"vector": [0.0, 0.0]}),
        ("bad-vector", {"vector": [float("nan")]}),
        ("bad-vector", {"vector": [[1.0]]}),
        ("bad-vector", {"vector": "[" * 10_000}),
        ("bad-vector", {"vector": f"[1{400 * '0'}]"}),
        ("bad-weights", {"text": "a", "weights": {"image": 1.0}}),
        ("bad-weights", {"text": "a", "weights": {"text": -1.0}}),
        ("bad-weights", {"text": "a", "weights": {"text": float("nan")}}),
        ("bad-weights", {"text": "a", "weights": {"positive": 1.0}}),
        ("bad-crop", {"text": "a", "crop": BOX}),
        ("bad-crop", {"image_ids": [1, 2], "crop": BOX}),
        ("bad-crop", {"image_id": 1, "crop": [0.5, 0, 0.5, 1]}),
        ("bad-crop", {"image_id": 1, "crop": [0, 0, 1]}),
        ("bad-crop", {"image_id": 1, "crop": [0, 0, 2, 1]}),
        ("bad-compare", {"text": "a", "level": "study", "compare": "sets"}),
        ("bad-compare", {"study": "1.2", "level": "image", "compare": "sets"}),
        ("bad-compare", {"study": "1.2", "compare": "sums"}),
        ("too-many-parts", {"image_ids": list(range(1, 102))}),
        ("bad-query", {"text": "a", "diversity": float("inf")}),
        ("bad-level", {"text": "a", "level": "patient"}),
    ],
)
def test_questions_that_cannot_be_are_refused(
    archive: Archive, code: str, question: Mapping[str, Any]
) -> None:
    with pytest.raises(ServiceError) as caught:
        archive.search(**question)
    assert caught.value.code == code


def test_parts_that_cancel_each_other_out(archive: Archive, image_ids: list[int]) -> None:
    with pytest.raises(ServiceError, match="weights"):
        archive.search(
            image_id=image_ids[0], negative=[image_ids[0]], weights={"query": 1.0, "negative": 1.0}
        )


def test_unknown_arguments_and_single_strings_are_refused(archive: Archive) -> None:
    with pytest.raises(TypeError, match="modality"):
        archive.search(text="a", modality="CT")  # type: ignore[call-arg]
    for name in ("images", "studies", "positive", "where"):
        question: dict[str, Any] = {"text": "a", name: "1.2"}
        with pytest.raises(TypeError, match="list"):
            archive.search(**question)


def test_words_alone_are_the_text_too_without_their_syntax(archive: Archive) -> None:
    words = 'effus* "left lung" -nodule'
    asked, expected = archive.search(words=words), archive.search(text="effus left lung", words=words)
    assert asked.query["text"] == "effus left lung"
    assert [(hit.image_id, hit.score) for hit in asked.hits] == [
        (hit.image_id, hit.score) for hit in expected.hits
    ]
