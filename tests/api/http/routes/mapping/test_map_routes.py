"""`/v1/map` and below, as the project's client and plain HTTP use them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medsiglip.client.client import ApiError, Client
from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home
from tests.api.live_service import LiveService


@pytest.fixture(scope="module")
def made(service: LiveService) -> LiveService:
    """The service with a map of its studies and one of its images."""
    with service.client() as client:
        jobs = [client.make_map(seed=3), client.make_map("image")]
        first, second = (client.wait(job).result for job in jobs)
    assert (first["level"], first["version"], first["seed"]) == ("study", 1, 3)
    assert (second["level"], second["version"], second["seed"]) == ("image", 1, 0)
    return service


@pytest.fixture(scope="module")
def client(made: LiveService) -> Iterator[Client]:
    with made.client("read") as opened:
        yield opened


def codes_of(client: Client, field: str, level: str = "study") -> list[int]:
    return list(b64decode(client.map_colours(field, level, version=1).codes))


def test_a_map_says_what_it_is_worth(client: Client) -> None:
    listed = client.maps()
    assert {(one.level, one.version) for one in listed} == {("study", 1), ("image", 1)}
    found = client.map()
    assert found == client.map("study", version=1)
    assert found.points == found.rows == len(client.studies())
    assert found.neighbours == 15
    assert found.neighbours_kept is not None
    assert 0.4 < found.neighbours_kept <= 1
    assert found.trustworthiness is not None
    assert found.trustworthiness > 0.8
    assert found.fields["modality"][0] == "XC"
    assert found.fields["label:melanoma"] == ("yes", "no")
    assert not found.outdated
    assert client.map("image").points > found.points


def test_points_are_the_images_of_studies(client: Client, made: LiveService) -> None:
    places, images = client.map_points(version=1)
    assert places.shape == (len(images), 2)
    assert np.abs(places).max() == 1
    with CaseIndex.open(made.home) as index:
        owners = index.instances.owners_of_images(images.tolist())
        first = {uid: min(one.image_id for one in index.images_of(uid)) for uid, _ in owners.values()}
    assert sorted(first.values()) == sorted(images.tolist())
    assert len(first) == len(client.studies())
    with made.http("read") as http:
        arrow = http.get(
            "/v1/map/points",
            params={"level": "study"},
            headers={"Accept": "application/vnd.apache.arrow.stream"},
        )
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table["image_id"].to_pylist() == images.tolist()
    np.testing.assert_array_equal(np.stack([table["x"], table["y"]], axis=1), places)


def test_colours_are_what_the_catalogue_says(client: Client, made: LiveService) -> None:
    _, images = client.map_points("image")
    with CaseIndex.open(made.home) as index:
        table = index.table("image")
    order = {int(one): place for place, one in enumerate(table.image_ids)}
    rows = [order[one] for one in images.tolist()]
    found = client.map_colours("modality", "image")
    assert found.kind == "category"
    names = [found.names[code] for code in codes_of(client, "modality", "image")]
    assert names == [table.modalities[row] for row in rows]
    assert found.counts == tuple(names.count(name) for name in found.names)
    assert found.unknown == 0
    melanoma = table.labels["melanoma"][rows]
    expected = [255 if np.isnan(one) else {"yes": 0, "no": 1}[_yes(one)] for one in melanoma.tolist()]
    answer = client.map_colours("label:melanoma", "image")
    swapped = [code if code == 255 else int(answer.names[code] == "no") for code in b64decode(answer.codes)]
    assert swapped == expected
    kept = client.map_colours("neighbours_kept", "image")
    assert (kept.kind, kept.low, kept.high) == ("number", 0, 1)
    mean = np.frombuffer(b64decode(kept.codes), np.uint8).mean() / 250
    assert mean == pytest.approx(client.map("image").neighbours_kept, abs=0.01)


def _yes(value: float) -> str:
    return "yes" if value > 0.5 else "no"


@pytest.mark.parametrize("level", ["study", "image"])
def test_scores_are_those_that_a_probe_stored(made: LiveService, client: Client, level: str) -> None:
    with made.client() as trainer:
        if not any(one.name == "map-melanoma" for one in trainer.probes()):
            trainer.wait(trainer.train_probe("map-melanoma", labels=["melanoma"], level="image"))
            trainer.wait(trainer.store_predictions("map-melanoma"))
    field = "probe:map-melanoma/melanoma"
    assert field in client.map(level).fields
    found = client.map_colours(field, level)
    _, images = client.map_points(level)
    with CaseIndex.open(made.home) as index:
        high = index.table("image", ["probe:map-melanoma>0.6"]).study_instance_uids
        owners = index.instances.owners_of_images(images.tolist())
    codes = np.frombuffer(b64decode(found.codes), np.uint8)
    above = {
        owners[image][0] for image, code in zip(images.tolist(), codes, strict=True) if code / 250 > 0.602
    }
    assert above <= set(high)
    assert above
    study = min(above)
    scored = client.classify(study=study, probe="map-melanoma", by_image=True)
    assert scored.by_image is not None
    assert scored.by_image.image_ids == tuple(one.image_id for one in client.study(study).images)
    each = scored.by_image.probability["melanoma"]
    assert max(each) == pytest.approx(scored.scores[0].probability)  # type: ignore[type-var]
    assert client.classify(study=study, probe="map-melanoma").by_image is None


def test_a_text_and_an_image_belong_where_their_neighbours_are(client: Client) -> None:
    by_text = client.map_place(text="a photograph of a melanoma", k=5)
    hits = client.search(text="a photograph of a melanoma", k=5, level="study").hits
    assert [one.study_instance_uid for one in by_text.neighbours] == [one.study_instance_uid for one in hits]
    places, images = client.map_points()
    for one in by_text.neighbours:
        assert one.index is not None
        assert images[one.index] == one.image_id
        assert (one.x, one.y) == tuple(places[one.index].tolist())
    assert (by_text.x, by_text.y) in [(one.x, one.y) for one in by_text.neighbours]
    image = int(images[0])
    by_image = client.map_place(image_id=image, k=3, level="image")
    # A search has the image itself, too.
    itself, *others = client.search(image_id=image, k=4, level="image", include_same_patient=True).hits
    assert itself.image_id == image
    assert [one.image_id for one in by_image.neighbours] == [one.image_id for one in others]
    assert [one.score for one in by_image.neighbours] == pytest.approx(
        [one.score for one in others], abs=1e-5
    )
    points, ids = client.map_points("image")
    assert (by_image.x, by_image.y) == tuple(points[ids.tolist().index(image)].tolist())


def test_outliers_are_the_farthest(client: Client, made: LiveService) -> None:
    found = client.map_outliers(4).outliers
    with CaseIndex.open(made.home) as index:
        table = index.table("study")
    cosines = table.vectors @ table.vectors.T
    np.fill_diagonal(cosines, -np.inf)
    apart = 1 - np.sort(cosines, axis=1)[:, -5:].mean(axis=1)
    best = np.argsort(-apart)[:4]
    assert [one.study_instance_uid for one in found] == [table.study_instance_uids[row] for row in best]
    assert [one.apart for one in found] == pytest.approx(apart[best].tolist(), abs=1e-5)
    assert [one.share for one in found] == pytest.approx([(n + 1) / len(apart) for n in range(4)])


def test_near_duplicates_are_linked_by_their_cosine(client: Client, made: LiveService) -> None:
    found = client.map_duplicates(50, min_cosine=0.9)
    with CaseIndex.open(made.home) as index:
        table = index.table("study")
    row_of = {uid: row for row, uid in enumerate(table.study_instance_uids)}
    cosines = table.vectors @ table.vectors.T
    assert found.total == len(found.groups) > 0
    assert [one.cosine for one in found.groups] == sorted((one.cosine for one in found.groups), reverse=True)
    for group in found.groups:
        rows = [row_of[one.study_instance_uid] for one in group.cases]
        within = cosines[np.ix_(rows, rows)] - 2 * np.eye(len(rows))
        assert within.max() == pytest.approx(group.cosine, abs=1e-5)
        assert group.patients == len({one.patient_key for one in group.cases})
    several = client.map_duplicates(50, min_cosine=0.9, other_patients=True)
    assert several.total == len([one for one in found.groups if one.patients > 1])
    assert client.map_duplicates(1, min_cosine=0.9).total == found.total


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("", {"level": "series"}, 404, "no-map"),
        ("", {"version": 9}, 404, "unknown-map"),
        ("", {"level": "patient"}, 422, "bad-request"),
        ("", {"colour": "red"}, 422, "bad-request"),
        ("/points", {"level": "series"}, 404, "no-map"),
        ("/colours", {"field": "patient_key"}, 422, "unknown-field"),
        ("/colours", {"field": "probe:unheard/of"}, 422, "unknown-field"),
        ("/place", {}, 422, "one-of"),
        ("/place", {"text": "a", "image_id": 1}, 422, "one-of"),
        ("/place", {"text": "?!"}, 422, "empty-text"),
        ("/place", {"image_id": 10**12}, 404, "unknown-image"),
        ("/place", {"text": "a", "k": 51}, 422, "bad-request"),
        ("/outliers", {"limit": 0}, 422, "bad-request"),
        ("/duplicates", {"min_cosine": 0.1}, 422, "bad-request"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    made: LiveService, path: str, query: dict[str, Any], status: int, code: str
) -> None:
    with made.http("read") as http:
        answer = http.get(f"/v1/map{path}", params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_who_may_not_train_makes_no_map(made: LiveService) -> None:
    with made.client("read") as reader, pytest.raises(ApiError) as caught:
        reader.make_map()
    assert caught.value.code == "missing-scope"
    with made.http("train") as http:
        assert http.post("/v1/map", json={"seed": -1}).json()["code"] == "bad-request"


def test_lists_are_events_that_name_their_cases(made: LiveService) -> None:
    with made.client("read") as reader:
        found = reader.map_outliers(2).outliers
        reader.map_points()
    with CaseIndex.open(made.home) as index:
        *_, listed, drawn = [one.event for one in index.audit.events()]
    assert (listed.action, list(listed.studies)) == ("list", [one.study_instance_uid for one in found])
    assert (drawn.action, list(drawn.studies), drawn.details["level"]) == ("map", [], "study")


def test_the_command_line_says_the_same(own_home: Home, tmp_path: Any) -> None:
    assert own_home.run("map", "show").error["code"] == "no-map"
    assert own_home.run("map", "list").json == {"maps": []}
    made = own_home.run("map", "make", "--level", "study", "--seed", "2").json
    assert (made["version"], made["seed"]) == (1, 2)
    assert own_home.run("map", "show", "--version", "1", "--out", tmp_path / "points.csv").json == made
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert lines[0] == "x,y,image_id"
    assert len(lines) == 1 + made["points"]
    [kept] = own_home.run("map", "list").json["maps"]
    assert (kept["level"], kept["points"]) == ("study", made["points"])
    image = int(lines[1].split(",")[2])
    place = own_home.run("map", "place", "--image-id", image, "-k", "2", "--version", "1").json
    assert len(place["neighbours"]) == 2
    assert own_home.run("map", "place").error["code"] == "one-of"
    assert len(own_home.run("map", "outliers", "-n", "3").json["outliers"]) == 3
    found = own_home.run("map", "duplicates", "--min-cosine", "0.9", "--other-patients", "-n", "5").json
    assert len(found["groups"]) <= 5
    assert own_home.run("map", "duplicates", "--min-cosine", "1.5").error["code"] == "bad-number"
    for words in (("list",), ("show",), ("outliers",), ("duplicates",), ("place", "--image-id", image)):
        assert own_home.show("map", *words).code == 0
    again = own_home.run("map", "make", "--seed", "2").json
    assert again["version"] == 2
    own_home.run("map", "show", "--out", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "points.csv").read_text()
    uid = place["neighbours"][0]["study_instance_uid"]
    assert own_home.run("forget", "--study", uid).code == 0
    shown = own_home.run("map", "show").json
    assert shown["points"] == made["points"] - 1
    assert shown["outdated"]
    assert uid not in own_home.run("map", "outliers", "-n", "1000").out
