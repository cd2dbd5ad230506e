"""Parameters of routes, sent as a client sends them, each with what it changes."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from medsiglip.client.client import Client
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def fetch(http: httpx.Client, path: str, **query: Any) -> Any:
    return http.get(path, params=query).raise_for_status().json()


@pytest.fixture(scope="module")
def ultrasound(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The id of a stored picture whose pixels may name the patient, since it is an ultrasound."""
    folder = tmp_path_factory.mktemp("ultrasound")
    (folder / "a.png").write_bytes(png(1))
    with (folder / "meta.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "patient_id", "modality"], ["a.png", "sound", "US"]])
    with service.client() as client:
        done = client.wait(client.upload(folder / "a.png", metadata=folder / "meta.csv"))
        assert done.result["embedded"] == 1
        [study] = client.studies(["modality=US"])
        [image] = client.study(study.study_instance_uid).images
    return image.image_id


@pytest.mark.parametrize(
    ("scope", "query", "status"),
    [
        ("read", {}, 403),
        ("read", {"show_burned_in": "true"}, 403),
        ("admin", {}, 403),
        ("admin", {"show_burned_in": "false"}, 403),
        ("admin", {"show_burned_in": "true"}, 200),
    ],
)
def test_what_may_name_a_patient_is_shown_to_an_administrator_on_demand(
    service: LiveService, ultrasound: int, scope: str, query: dict[str, str], status: int
) -> None:
    with service.http(scope) as http:
        answer = http.get(f"/v1/images/{ultrasound}/preview", params=query)
    assert answer.status_code == status
    if status == 200:
        assert Image.open(io.BytesIO(answer.content)).format == "PNG"
    else:
        assert answer.json()["code"] == "burned-in"


@pytest.mark.parametrize("asked", [{"text": "gallstones"}, {"like_image_id": 1}])
def test_why_shows_what_may_name_a_patient_to_an_administrator_on_demand(
    service: LiveService, phantoms: Phantoms, ultrasound: int, asked: dict[str, Any]
) -> None:
    with service.client() as client:
        other = client.study(phantoms.with_label("pleural-effusion")[0]).images[0].image_id
    if "like_image_id" in asked:  # the one that may not be shown comes second
        body = {"image_id": other, "like_image_id": ultrasound}
    else:
        body = {"image_id": ultrasound, **asked}
    for scope, shown in (("read", True), ("admin", False)):
        with service.http(scope) as http:
            refused = http.post("/v1/why", json={**body, "show_burned_in": shown})
        assert (refused.status_code, refused.json()["code"]) == (403, "burned-in")
    with service.http("admin") as http:
        answer = http.post("/v1/why", json={**body, "show_burned_in": True})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("size", [128, 256, 512, 1024])
def test_sizes_of_previews(service: LiveService, phantoms: Phantoms, size: int) -> None:
    """A picture of the encoder's size is not enlarged."""
    with service.client() as client:
        [image] = client.study(phantoms.with_label("pleural-effusion")[0]).images
        shown = Image.open(io.BytesIO(client.preview(image.image_id, size=size)))
        largest = max(Image.open(io.BytesIO(client.preview(image.image_id, size=1024))).size)
    assert (shown.format, max(shown.size)) == ("PNG", min(size, largest))
    with service.http("read") as http:
        for wrong in ("0", "255", "256.5", "x", "", "-256"):
            refused = http.get(f"/v1/images/{image.image_id}/preview", params={"size": wrong})
            assert (refused.status_code, refused.json()["code"]) == (422, "bad-request")


def test_labels_that_hold_commas(service: LiveService, phantoms: Phantoms) -> None:
    file = min(phantoms.dicom.rglob("*.dcm"))
    labels = ["nodule, spiculated", "normal chest"]
    with service.client() as client, service.http("read") as http:
        assert {one.label for one in client.classify(file, labels=labels).scores} == set(labels)
        sent = {"file": ("a.dcm", file.read_bytes())}
        split = http.post("/v1/classify", files=sent, data={"labels": "a mole,a chest", "label": labels})
        found = {one["label"] for one in split.raise_for_status().json()["scores"]}
        assert found == {"a mole", "a chest", *labels}


def test_a_report_is_ordered_once_for_one_idempotency_key(service: LiveService, phantoms: Phantoms) -> None:
    first, second = phantoms.with_label("pleural-effusion")[:2]
    with service.http() as http:
        key = {"Idempotency-Key": "one-report"}
        one = http.post("/v1/reports", json={"study_instance_uid": first}, headers=key)
        again = http.post("/v1/reports", json={"study_instance_uid": first}, headers=key)
        assert one.json()["id"] == again.json()["id"]
        for other in ({"study_instance_uid": second}, {"study_instance_uid": first, "indication": "pain"}):
            refused = http.post("/v1/reports", json=other, headers=key)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")


def test_pages_of_studies(service: LiveService) -> None:
    with service.http("read") as http:
        everything = fetch(http, "/v1/studies", where="modality=XC")
        uids = [one["study_instance_uid"] for one in everything["studies"]]
        assert everything["total"] == len(uids) > 4
        pages = [fetch(http, "/v1/studies", where="modality=XC", limit=2, offset=at) for at in (0, 2, 4)]
        assert [len(page["studies"]) for page in pages[:2]] == [2, 2]
        assert [one["study_instance_uid"] for page in pages for one in page["studies"]] == uids[:6]
        assert {page["total"] for page in pages} == {len(uids)}
        assert fetch(http, "/v1/studies", where="modality=XC", offset=len(uids))["studies"] == []


def test_the_newest_jobs_and_drafts(service: LiveService, phantoms: Phantoms) -> None:
    first, second = phantoms.with_label("pleural-effusion")[:2]
    rule = {"modality": ["DX"], "studies": "all", "generator": "evidence-only"}
    with service.client() as client, service.http() as http:
        client.put_route("by-parameters", rule)
        one = client.wait(client.draft(first, route="by-parameters")).result["id"]
        other = client.wait(client.draft(second, generator="evidence-only")).result["id"]
        assert len(fetch(http, "/v1/jobs", limit=1)["jobs"]) == 1
        assert [job["id"] for job in fetch(http, "/v1/jobs", limit=2)["jobs"]] == [other, one]
        newest = fetch(http, "/v1/reports", limit=1)["reports"]
        assert [draft["id"] for draft in newest] == [other]
        routed = fetch(http, "/v1/reports", route="by-parameters")["reports"]
        assert [draft["id"] for draft in routed] == [one]
        client.reject(one, "a test")
        rejected = fetch(http, "/v1/reports", status="rejected", route="by-parameters")["reports"]
        assert [draft["id"] for draft in rejected] == [one]
        client.remove_route("by-parameters")


def test_dimensions_of_embeddings(service: LiveService) -> None:
    body = {"model": "tiny", "input": "mole", "user": "somebody"}
    with service.http("read") as http:
        dimension = fetch(http, "/v1/info")["dimension"]
        answer = http.post("/v1/embeddings", json={**body, "dimensions": dimension})
        assert len(answer.raise_for_status().json()["data"][0]["embedding"]) == dimension
        refused = http.post("/v1/embeddings", json={**body, "dimensions": dimension - 1})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad-dimensions")


def test_an_ingest_of_a_path_with_metadata(service: LiveService, phantoms: Phantoms) -> None:
    folder = phantoms.dicom.parent / "with-metadata"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(2))
    with (folder / "meta.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "patient_id", "modality"], ["a.png", "nuclear", "NM"]])
    with service.client() as client:
        done = client.wait(client.ingest(folder / "a.png", metadata=str(folder / "meta.csv")))
        assert done.result["embedded"] == 1
        [study] = client.studies(["modality=NM"])
        client.forget_study(study.study_instance_uid)
    with service.http() as http:
        sent = {"files": ("b.png", png(3))}
        refused = http.post("/v1/ingest", files=sent, data={"metadata": str(folder / "meta.csv")})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-multipart")


def test_the_remaining_options_of_the_client(service: LiveService, phantoms: Phantoms) -> None:
    transport = httpx.HTTPTransport()
    with Client(service.url, api_key=service.keys["admin"], timeout=30, transport=transport) as client:
        for level in ("image", "series", "study"):
            assert client.search(text="mole", level=level).level == level
        trained = client.train_probe("filtered", labels=["melanoma"], level="study", where=["modality=XC"])
        client.wait(trained)
        skin = {one.patient_key for one in client.studies(["modality=XC"])}
        assert client.probe("filtered").groups <= len(skin)
        client.delete_probe("filtered")
        job = client.train_probe("cancelled", labels=["melanoma"], level="study")
        assert client.cancel(job.id).id == job.id
        *_, last = client.events(job.id)
        assert last.status in ("cancelled", "done")
