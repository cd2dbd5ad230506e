"""Studies as sets, from an index: what a search of them finds is what their stored images say."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.search_records import Asked, SearchOptions
from tests.index.index_cases import make_bundle, unit_vectors
from tests.index.search.test_set_to_set import defined


@pytest.fixture
def stored(index: CaseIndex) -> dict[str, np.ndarray]:
    """The images of each of ten studies in two series, by study UID; study 3 has series of two modalities."""
    found = {}
    for study in range(10):
        few = unit_vectors(3 + study % 3, study)
        modality = "MR" if study == 3 else "CT"
        index.add([make_bundle(study, 2)], few[:2])
        index.add([make_bundle(study, len(few) - 2, series=1, series_fields={"modality": modality})], few[2:])
        found[f"2.25.{study}"] = few
    return found


def test_sets_are_the_images_of_studies_in_the_order_asked(
    index: CaseIndex, stored: dict[str, np.ndarray]
) -> None:
    asked = ["2.25.7", "2.25.2", "2.25.3"]
    sets = index.study_sets(asked)
    for place, uid in enumerate(asked):
        assert np.allclose(sets.rows(sets.one(place)), stored[uid], atol=1e-7)
    index.remove_study("2.25.2")
    assert len(sets.rows(sets.one(1))) == len(stored["2.25.2"]), "a set stays what it was"
    for unknown in ("2.25.2", "2.25.999"):
        with pytest.raises(CatalogError) as caught:
            index.study_sets(["2.25.7", unknown])
        assert caught.value.code == "unknown-study"


def test_nearest_studies_are_those_of_the_definition(index: CaseIndex, stored: dict[str, np.ndarray]) -> None:
    queries = [unit_vectors(2, 91), unit_vectors(5, 92)]
    with index._current.view() as (loaded, _):
        rows = {
            uid: int(loaded.owners("study", np.array([ids[0]]))[0]) for uid, ids in _images(index, stored)
        }
        left_out = [np.array([rows["2.25.4"]]), np.empty(0, np.int64)]
        in_mr = loaded.mask("series", np.array([_series_of(index, "2.25.3", "MR")]))
        for allowed, names in ((None, list(stored)), (in_mr, ["2.25.3"])):
            answers = loaded.nearest_studies(queries, 4, allowed, left_out, candidates=50)
            for query, gone, found in zip(queries, left_out, answers, strict=True):
                expected = {rows[uid]: defined(query, stored[uid]) for uid in names if rows[uid] not in gone}
                best = sorted(expected, key=lambda row: (-np.float32(expected[row]), row))[:4]
                assert found.ids.tolist() == best
                assert np.allclose(found.scores, [expected[row] for row in best], atol=1e-6)
                assert found.how == "compared"
        few = loaded.nearest_studies(queries[:1], 2, candidates=2)[0]
        assert few.looked_at <= 8


def test_a_study_is_shown_by_its_image_that_passes_and_is_most_like_one_asked_about(
    index: CaseIndex, stored: dict[str, np.ndarray]
) -> None:
    asked = Asked(stored["2.25.3"][0], images=np.concatenate([stored["2.25.3"][:1], unit_vectors(2, 93)]))
    plain, filtered = (
        index.find([asked], SearchOptions(10, "study", where, compare="sets"))[0].hits
        for where in ((), ("modality=MR",))
    )
    assert plain[0].hit.image_id == _image_ids(index, "2.25.3")[0]
    [one] = filtered
    [mr] = [image for image in index.images_of("2.25.3") if image.modality == "MR"]
    assert (one.hit.image_id, one.hit.score) == (mr.image_id, plain[0].hit.score)
    assert one.pairs[0].query == 0
    assert one.pairs == plain[0].pairs
    assert one.pairs[0].cosine == pytest.approx(1)
    for pair in one.pairs:
        cosines = stored["2.25.3"] @ np.asarray(asked.images)[pair.query]
        assert pair.image_id == _image_ids(index, "2.25.3")[cosines.argmax()]
        assert pair.cosine == pytest.approx(cosines.max(), abs=1e-6)


def _image_ids(index: CaseIndex, uid: str) -> list[int]:
    return sorted(one.image_id for one in index.images_of(uid))


def _images(index: CaseIndex, stored: dict[str, np.ndarray]) -> list[tuple[str, list[int]]]:
    return [(uid, [one.image_id for one in index.images_of(uid)]) for uid in stored]


def _series_of(index: CaseIndex, uid: str, modality: str) -> int:
    [image] = [one.image_id for one in index.images_of(uid) if one.modality == modality]
    with index._current.view() as (loaded, _):
        return int(loaded.owners("series", np.array([image]))[0])
