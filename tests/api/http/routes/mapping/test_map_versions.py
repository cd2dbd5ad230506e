"""Maps of series, older versions beside newer ones, and maps of which cases were forgotten."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.client.client import Client
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

STUDIES = 24
GONE = "2.25.5"
CLEAR: dict[str, Any] = {"quality": {"burned_in": "no"}}


class Served:
    """An application on a home with two maps of its series and one of its images; a study is forgotten."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        self.archive: Archive = http.app.state.server.archive  # type: ignore[attr-defined]
        self.index: CaseIndex = self.archive.index
        self.client = Client("http://127.0.0.1:8000", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        got = self.http.request(request.method, str(request.url), content=request.read())
        return httpx.Response(got.status_code, content=got.content)

    def nearest_others(self, level: Level) -> tuple[list[str], Any]:
        """The study of each row of a level, and cosines [n, n]; -inf for rows of one study."""
        table = self.index.table(level)
        owners = np.array(table.study_instance_uids)
        cosines = table.vectors.astype(np.float64) @ table.vectors.T.astype(np.float64)
        cosines[owners[:, None] == owners[None]] = -np.inf
        return list(table.study_instance_uids), cosines


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("versions") / "home"
    bundles = [
        make_bundle(
            number,
            2,
            series=series,
            patient=f"patient{number // 2}",
            series_fields={"modality": ("CT", "MR", None)[(number + series) % 3]},
            image_fields=CLEAR,
        )
        for number in range(STUDIES)
        for series in range(1 + number % 2)
    ]
    with CaseIndex.open(home) as index:
        index.activate(SPACE)
        vectors = unit_vectors(2 * len(bundles), 3)
        vectors[-2:] = vectors[:2]  # the last series is a copy of the first, of another patient
        index.add(bundles, vectors)
        index.labels.put(
            [LabelRecord("mass", float(n % 2), "study_instance_uid", f"2.25.{n}") for n in range(9)]
        )
    app = create_app(Settings(home=home))
    with TestClient(app, base_url="http://127.0.0.1:8000") as http:
        found = Served(http)
        for level, seed in (("series", 1), ("series", 2), ("image", 0)):
            found.archive.make_map(level=level, seed=seed)
        found.client.forget_study(GONE)
        yield found


def test_a_point_of_a_series_is_its_first_image(served: Served) -> None:
    places, images = served.client.map_points("series")
    firsts: dict[str, int] = {}
    for uid in {one.study_instance_uid for one in served.index.studies()}:
        for one in served.index.images_of(uid):
            key = one.series_instance_uid
            firsts[key] = min(one.image_id, firsts.get(key, one.image_id))
    assert sorted(images.tolist()) == sorted(firsts.values())
    assert places.shape == (len(firsts), 2)


def test_versions_stand_beside_each_other(served: Served) -> None:
    assert [(one.level, one.version) for one in served.client.maps() if one.level == "series"] == [
        ("series", 2),
        ("series", 1),
    ]
    older, newer = (served.client.map("series", version=version) for version in (1, 2))
    assert (older.seed, newer.seed, older.version, newer.version) == (1, 2, 1, 2)
    assert older.outdated
    assert served.client.map("series") == newer
    (one, images), (two, same) = (served.client.map_points("series", version=v) for v in (1, 2))
    assert images.tolist() == same.tolist()
    assert not np.array_equal(one, two)
    image = int(images[0])
    for version, places in ((1, one), (2, two)):
        placed = served.client.map_place(image_id=image, k=4, level="series", version=version)
        assert (placed.version, placed.x, placed.y) == (version, *places[0].tolist())
        for near in placed.neighbours:
            assert near.index is not None
            assert (near.x, near.y) == tuple(places[near.index].tolist())
        outliers = served.client.map_outliers(5, level="series", version=version)
        assert outliers.version == version
        assert [(p.x, p.y) for p in outliers.outliers] == [
            tuple(places[p.index].tolist()) for p in outliers.outliers
        ]
        groups = served.client.map_duplicates(5, level="series", version=version, min_cosine=0.9).groups
        assert [(p.x, p.y) for p in groups[0].cases] == [
            tuple(places[p.index].tolist()) for p in groups[0].cases
        ]


@pytest.mark.parametrize("level", ["series", "image"])
def test_what_stands_alone_or_twice_is_compared_with_other_studies(served: Served, level: Level) -> None:
    owners, cosines = served.nearest_others(level)
    near = served.client.map_outliers(1000, level=level).outliers
    assert [one.apart for one in near] == sorted((one.apart for one in near), reverse=True)
    assert sorted(one.study_instance_uid for one in near) == sorted(owners)
    found = served.client.map_duplicates(50, level=level, min_cosine=0.999, other_patients=True)
    assert {case.study_instance_uid for group in found.groups for case in group.cases} == {
        "2.25.0",
        f"2.25.{STUDIES - 1}",
    }
    for group in found.groups:
        assert group.cosine == pytest.approx(cosines.max(), abs=1e-5)
        assert group.patients == 2


@pytest.mark.parametrize("level", ["series", "image"])
@pytest.mark.parametrize("field", ["modality", "label:mass", "neighbours_kept"])
def test_colours_go_with_the_points_that_are_left(served: Served, level: Level, field: str) -> None:
    _, images = served.client.map_points(level)
    colours = served.client.map_colours(field, level)
    codes = list(b64decode(colours.codes))
    assert len(codes) == len(images)
    if field == "neighbours_kept":
        return
    expected = []
    for image_id in images.tolist():
        image = served.index.get(image_id)
        if field == "modality":
            value = image.modality
        else:
            held = served.index.study(image.study_instance_uid).labels.get("mass")
            value = None if held is None else ("yes" if held else "no")
        expected.append(value)
    assert [None if code == 255 else colours.names[code] for code in codes] == expected
    assert colours.unknown == expected.count(None)


def test_what_was_forgotten_is_on_no_map(served: Served) -> None:
    for level in ("series", "image"):
        _, images = served.client.map_points(level)
        owners = {served.index.get(one).study_instance_uid for one in images.tolist()}
        assert owners == {f"2.25.{n}" for n in range(STUDIES)} - {GONE}
        told = [
            served.http.get(f"/v1/map/{path}", params={"level": level, "limit": 1000}).text
            for path in ("outliers", "duplicates")
        ]
        assert not any(f'"{GONE}"' in text for text in told)


def test_a_map_that_is_ordered_twice_is_one_job(served: Served) -> None:
    headers = {"Idempotency-Key": "map-of-today"}
    first, second = (
        served.http.post("/v1/map", json={"level": "series", "seed": 4}, headers=headers) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    other = served.http.post("/v1/map", json={"level": "series", "seed": 5}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
