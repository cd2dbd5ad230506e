"""Thumbnails and previews over HTTP: what they show, what is refused, what may be kept, and the audit."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from medsiglip.api.http.app import create_app
from medsiglip.api.http.auditing import ShownStudies
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from tests.api.conftest import run

KINDS = ("chest-xray", "chest-ct")


class Service:
    """A service on a radiograph, a CT and a picture that may name somebody; its images by modality."""

    def __init__(self, http: TestClient, home: Path) -> None:
        self.http = http
        self.index = http.app.state.server.archive.index  # type: ignore[attr-defined]
        table = self.index.table("image")
        self.ids = dict(zip(table.modalities, table.image_ids.tolist(), strict=True))
        self.studies = dict(zip(table.modalities, table.study_instance_uids, strict=True))
        self.ids["plain"] = next(self.ids[one] for one in ("CR", "DX") if one in self.ids)
        self.studies["plain"] = next(self.studies[one] for one in ("CR", "DX") if one in self.studies)

    def get(self, path: str, **query: Any) -> Any:
        return self.http.get(f"/v1/{path}", params=query)

    def events(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(one.event.action, one.event.studies) for one in self.index.audit.events()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("pictures")
    for kind in KINDS:
        for study in make_studies(1, 5, [kind]):
            write_study(study, folder / "in")
    Image.new("RGB", (300, 200), "teal").save(folder / "in" / "screen.png")
    assert run("--home", folder / "home", "--json", "ingest", folder / "in").code == 0
    app = create_app(Settings(home=folder / "home"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as http:
        yield Service(http, folder / "home")


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_thumbnail_may_be_kept_and_asked_for_again(service: Service) -> None:
    first = service.get(f"images/{service.ids['plain']}/thumbnail")
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    assert (opened(first.content).format, max(opened(first.content).size)) == ("JPEG", 192)
    assert "private" in first.headers["cache-control"]
    tag = first.headers["etag"]
    again = service.http.get(first.request.url, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    [line] = service.get("thumbnails", image_id=service.ids["plain"]).json()["thumbnails"]
    assert f'"{line["tag"]}"' == tag


def test_a_list_has_a_line_for_each_image_in_order(service: Service) -> None:
    asked = [service.ids["CT"], service.ids["plain"], 10**12, service.ids["OT"], service.ids["CT"]]
    answer = service.get("thumbnails", image_id=asked)
    lines = answer.json()["thumbnails"]
    assert [line["image_id"] for line in lines] == asked
    assert [line.get("code") for line in lines] == [None, None, "unknown-image", "burned-in", None]
    assert lines[2] == {"image_id": 10**12, "code": "unknown-image"}
    for line in (lines[0], lines[1]):
        assert set(line) == {"image_id", "tag", "content_type", "data"}
        shown = service.get(f"images/{line['image_id']}/thumbnail").content
        assert (base64.b64decode(line["data"]), line["content_type"]) == (shown, "image/jpeg")
    same = service.http.get(answer.request.url, headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"image_id": list(range(1, 202))},
        {"image_id": "0"},
        {"image_id": str(2**63)},
        {"image_id": "x"},
        {"image_id": "1", "size": "64"},
    ],
)
def test_other_questions_are_refused(service: Service, query: dict[str, object]) -> None:
    refused = service.get("thumbnails", **query)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-request")


def test_two_hundred_at_once(service: Service) -> None:
    lines = service.get("thumbnails", image_id=list(range(1, 201))).json()["thumbnails"]
    assert len(lines) == 200


def test_what_may_name_a_patient_and_what_is_not_there(service: Service) -> None:
    refused = service.get(f"images/{service.ids['OT']}/thumbnail")
    assert (refused.status_code, refused.json()["code"]) == (403, "burned-in")
    unknown = service.get(f"images/{10**12}/thumbnail")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-image")
    assert service.get("images/1/thumbnail", size=64).status_code == 422


def test_previews_as_the_model_takes_them_and_as_people_read_them(service: Service) -> None:
    path = f"images/{service.ids['CT']}/preview"
    usual, model, display = (
        service.get(path, size=128, **drawn).content
        for drawn in ({}, {"drawn": "model"}, {"drawn": "display"})
    )
    assert usual == model
    assert np.ptp(np.asarray(opened(model), int), axis=2).max() > 50
    assert np.ptp(np.asarray(opened(display), int), axis=2).max() == 0
    assert service.get(path, drawn="other").status_code == 422


def test_the_client_asks_for_the_same_pictures(service: Service) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        got = service.http.get(str(request.url))
        return httpx.Response(got.status_code, content=got.content)

    client = Client("http://127.0.0.1:8000", transport=httpx.MockTransport(answer))
    ct, named = service.ids["CT"], service.ids["OT"]
    lines = client.thumbnails([ct, named])
    assert [(one.image_id, one.code) for one in lines] == [(ct, None), (named, "burned-in")]
    assert base64.b64decode(lines[0].data or "") == client.thumbnail(ct)
    display = client.preview(ct, size=128, drawn="display")
    assert display == service.get(f"images/{ct}/preview", size=128, drawn="display").content
    assert display != client.preview(ct, size=128)
    with pytest.raises(ApiError) as refused:
        client.preview(named)
    assert (refused.value.status, refused.value.code) == (403, "burned-in")
    # Without keys, whoever reaches the service may do everything.
    assert opened(client.preview(named, size=256, show_burned_in=True)).format == "PNG"


def test_what_a_list_has_named_costs_no_event(service: Service) -> None:
    service.http.app.state.shown_studies = ShownStudies()  # type: ignore[attr-defined]
    before = len(service.events())
    both = [service.ids["CT"], service.ids["plain"], service.ids["OT"]]
    for _ in range(2):
        service.get("thumbnails", image_id=both)
    service.get(f"images/{service.ids['CT']}/thumbnail")
    assert service.events()[before:] == [("list", (service.studies["CT"], service.studies["plain"]))]
    service.get(f"images/{service.ids['CT']}/preview", drawn="display", size=128)
    service.get(f"images/{service.ids['CT']}/preview", drawn="model", size=128)
    assert service.events()[before + 1 :] == [("view", (service.studies["CT"],))]
