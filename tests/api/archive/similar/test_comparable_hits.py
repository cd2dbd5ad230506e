"""Where a hit stands among the best hits of comparable questions, against counting them one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.index.records import Level
from medsiglip.scope.reference_texts import reference_texts
from tests.api.conftest import Home, Phantoms

NONSENSE = "zzzz qqqq"


@pytest.fixture(scope="module")
def archive(home: Home) -> Iterator[Archive]:
    with Archive(home.path) as opened:
        yield opened


def standing(hits: Any, best: Sequence[Sequence[float]]) -> None:
    """The percentile of each hit is that of counting the ten best scores of each question."""
    counted = np.concatenate([np.sort(one)[::-1][:10] for one in best])
    for hit in hits:
        expected = min(float(np.mean(counted <= hit["score"] + 1e-6)), len(best) / (len(best) + 1))
        assert hit["percentile"] == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize("level", ["image", "study"])
def test_a_text_is_compared_with_texts_as_people_write_them(archive: Archive, level: Level) -> None:
    texts = reference_texts()
    vectors = archive.index.table(level).vectors
    best = archive.encoder.encode_texts(texts.queries) @ vectors.T
    strange = (archive.encoder.encode_texts(texts.outliers[::4]) @ vectors.T).max(axis=1)
    kept = best[best.max(axis=1) > np.quantile(strange, 0.9)]
    if len(kept) < len(best) / 2:
        kept = best[np.argsort(-best.max(axis=1), kind="stable")[: len(best) // 2]]
    for asked in ("melanoma", "left pleural effusion", NONSENSE):
        found = archive.search(text=asked, k=20, level=level)
        assert found.background is not None
        assert found.background.comparable_questions == len(kept)
        standing(found["hits"], kept)


def test_a_picture_is_compared_with_stored_ones_of_other_patients(archive: Archive) -> None:
    table = archive.index.table("image")
    of_patient: dict[str, list[int]] = {}
    for place, key in enumerate(table.patient_keys):
        of_patient.setdefault(key, []).append(place)
    best = []
    for theirs in of_patient.values():
        others = np.setdiff1d(np.arange(len(table.ids)), theirs)
        best.append(table.vectors[others] @ table.vectors[theirs[len(theirs) // 2]])
    found = archive.search(image_id=int(table.ids[0]), k=20)
    assert found.background is not None
    assert found.background.comparable_questions == len(best)
    standing(found["hits"], best)


def test_studies_stand_among_studies(archive: Archive, phantoms: Phantoms) -> None:
    study = phantoms.with_label("melanoma")[0]
    for compare in ("means", "sets"):
        found = archive.search(study=study, compare=compare)
        assert found.background is not None
        assert found.background.comparable_questions is not None
        percentiles = [hit["percentile"] for hit in found["hits"]]
        assert percentiles == sorted(percentiles, reverse=True)
        assert 0.2 < percentiles[0] < 1


def test_nonsense_stands_low_and_nothing_is_better_than_all(archive: Archive, home: Home) -> None:
    usual = archive.search(text="melanoma", k=1)["hits"][0]["percentile"]
    assert archive.search(text=NONSENSE, k=1)["hits"][0]["percentile"] < 0.3 < usual < 1
    table = archive.index.table("image")
    same = archive.search(vector=table.vectors[0].tolist(), k=1)
    assert same["hits"][0]["percentile"] is None  # nobody knows what it is comparable with
    copy = archive.search(image_id=int(table.ids[0]), k=1, include_same_patient=True)
    assert copy["hits"][0]["percentile"] < 1
    shown = home.show("search", "--text", NONSENSE, "-k", 3).out
    percents = [float(one) for one in re.findall(r"(\d+\.\d) %", shown)]
    assert len(percents) >= 3
    assert max(percents) < 100
    assert re.search(r"better than: .* comparable questions", " ".join(shown.split()))


def test_several_parts_have_no_comparable_questions(archive: Archive) -> None:
    ids = [int(one) for one in archive.index.table("image").ids[:2]]
    weights = {"text": 0.5, "image": 0.5}
    for asked in (
        {"text": "melanoma", "image_id": ids[0], "weights": weights},
        {"image_ids": ids},
        {"positive": ids},
        {"image_id": ids[0], "negative": ids[1:]},
    ):
        found = archive.search(k=2, **asked)
        assert [hit["percentile"] for hit in found["hits"]] == [None, None]
        assert found.in_scope is None
        assert found.background is not None
        assert found.background.comparable_questions is None


def test_what_was_measured_is_kept_and_forgotten_with_a_case(own_home: Home, phantoms: Phantoms) -> None:
    with Archive(own_home.path) as opened:
        first = opened.search(text="melanoma", k=3)
        space = opened.space.name
        kept = opened.index.backgrounds.get(space, "hits text image means")
        assert kept is not None
        assert "patient" not in json.dumps(kept.summary)
    with Archive(own_home.path) as again:
        assert again.search(text="melanoma", k=3)["hits"] == first["hits"]
        assert again.index.backgrounds.get(space, "hits text image means") == kept
        again.forget(study=phantoms.with_label("melanoma")[0])
        assert again.index.backgrounds.get(space, "hits text image means") is None
        again.search(text="melanoma", k=3)
        renewed = again.index.backgrounds.get(space, "hits text image means")
        assert renewed is not None
        assert renewed.summary["images"] < kept.summary["images"]


@pytest.mark.long
def test_a_background_is_measured_again_when_the_archive_has_grown_by_a_fifth(
    own_home: Home, tmp_path: Path
) -> None:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    with Archive(own_home.path) as opened:

        def measured() -> int:
            opened.search(text="melanoma", k=1)
            found = opened.index.backgrounds.get(opened.space.name, "hits text image means")
            assert found is not None
            return int(found.summary["images"])

        before = measured()
        for number, study in enumerate(make_studies(before // 5 + 2, 4242, ["skin"])):
            write_study(study, tmp_path / ("first" if number == 0 else "others"))
        opened.ingest([tmp_path / "first"])
        assert opened.index.info().images == before + 1
        assert measured() == before
        opened.ingest([tmp_path / "others"])
        assert measured() == opened.index.info().images > 1.2 * before
