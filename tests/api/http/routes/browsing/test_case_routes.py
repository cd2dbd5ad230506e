"""`/v1/cases`, `/v1/facets` and `/v1/collections`, as the project's client and plain HTTP use them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.service.audit_log import AuditEvent
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

CLEAR: dict[str, Any] = {"quality": {"burned_in": "no", "localizer": 0}}
PLANNED: dict[str, Any] = {"quality": {"burned_in": "no", "localizer": 1}}
NAMED: dict[str, Any] = {"quality": {"burned_in": "yes", "lossy": 1}}


class Served:
    """An application on a home of twelve cases, with its client."""

    def __init__(self, http: TestClient, keys: dict[str, str]) -> None:
        self.http = http
        self.keys = keys
        transport = httpx.MockTransport(self._answer)
        self.client = Client("http://127.0.0.1:8000", api_key=keys["write"], transport=transport)
        self.index: CaseIndex = http.app.state.server.archive.index  # type: ignore[attr-defined]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        sent = {
            name: request.headers[name]
            for name in ("authorization", "content-type")
            if name in request.headers
        }
        answer = self.http.request(request.method, str(request.url), content=request.read(), headers=sent)
        return httpx.Response(answer.status_code, content=answer.content)

    def get(self, path: str, scope: str = "read", **query: Any) -> Any:
        return self.http.get(path, params=query, headers={"Authorization": f"Bearer {self.keys[scope]}"})

    def events(self) -> list[AuditEvent]:
        """The audit trail."""
        return [one.event for one in self.index.audit.events()]


def fill(index: CaseIndex) -> None:
    """CT of two series, of which the first only plans the other; ultrasound that may bear a name."""
    bundles = []
    for n in range(8):
        facts = {
            "patient_age": 30.0 + n,
            "study_date": f"202{n % 3}-01-0{n + 1}",
            "study_description": "=cmd",
        }
        bundles += [
            make_bundle(n, 5, study_fields=facts, image_fields=PLANNED),
            make_bundle(n, 3, series=1, study_fields=facts, image_fields=CLEAR),
        ]
    bundles += [make_bundle(n, 1, series_fields={"modality": "US"}, image_fields=NAMED) for n in range(8, 12)]
    index.activate(SPACE)
    index.add(bundles, unit_vectors(8 * 8 + 4))
    index.labels.put([LabelRecord("effusion", n % 2, "study_instance_uid", f"2.25.{n}") for n in range(6)])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("cases") / "home"
    with CaseIndex.open(home) as index:
        fill(index)
        keys = {scope: index.api_keys.create(scope, [scope])[1] for scope in ("read", "write")}
        keys["write"] = index.api_keys.create("both", ["read", "write"])[1]
    with TestClient(create_app(Settings(home=home)), base_url="http://127.0.0.1:8000") as http:
        yield Served(http, keys)


def test_pages_of_cases(served: Served) -> None:
    first = served.client.cases(sort="-study_date", limit=5)
    second = served.client.cases(sort="-study_date", limit=200, cursor=first.cursor)
    assert (first.total, first.total_capped, len(first.cases), len(second.cases)) == (12, False, 5, 7)
    assert (second.cursor, first.removed_by) == (None, ())
    dates = [one.study_date for one in (*first.cases, *second.cases)]
    assert dates[:8] == sorted(dates[:8], key=str, reverse=True)
    assert dates[8:] == [None] * 4
    [case] = served.client.cases(where=["study_instance_uid=2.25.1"]).cases
    assert (case.modalities, case.series, case.images, case.labels) == (("CT",), 2, 8, {"effusion": 1.0})
    assert (case.withheld, case.quality, case.drafts) == (False, ("localizer",), 0)
    # Not of the larger series, which is there to plan the other.
    picture = served.index.get(case.image_id)
    assert (picture.series_instance_uid, picture.slice_index) == ("2.25.1.1", 1)
    [case] = served.client.cases(where=["study_instance_uid=2.25.9"]).cases
    assert (case.withheld, case.quality) == (True, ("lossy",))


def test_where_nothing_fits_each_filter_is_told(served: Served) -> None:
    found = served.client.cases(where=["modality=US", "label:effusion=1"])
    assert (found.total, found.cases) == (0, ())
    assert [(one.where, one.cases) for one in found.removed_by] == [
        ("modality=US", 3),
        ("label:effusion=1", 4),
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sort": "name"}, "bad-sort"),
        ({"cursor": "abc"}, "bad-cursor"),
        ({"where": "colour=red"}, "bad-filter"),
        ({"limit": 0}, "bad-request"),
        ({"limit": 201}, "bad-request"),
        ({"order": "up"}, "bad-request"),
    ],
)
def test_what_cannot_be_asked_is_refused(served: Served, query: dict[str, Any], code: str) -> None:
    answer = served.get("/v1/cases", **query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_page_is_one_event_that_names_its_cases(served: Served) -> None:
    before = len(served.events())
    shown = served.get("/v1/cases", limit=3, sort="study_instance_uid").json()["cases"]
    served.get("/v1/facets")
    [event] = served.events()[before:]
    assert (event.action, list(event.studies)) == ("list", [one["study_instance_uid"] for one in shown])


def test_facets_count_the_cases_of_their_filters(served: Served) -> None:
    found = served.client.facets(where=["modality=CT"])
    assert (found.total, found.total_capped) == (8, False)
    by_field = {one.field: one for one in found.facets}
    modality = {one.value: one.count for one in by_field["modality"].values}
    assert modality == {"CT": 8, "US": 4}  # not narrowed by its own filter
    assert [(one.value, one.count, one.where) for one in by_field["label"].values] == [
        ("effusion", 3, "label:effusion=1")
    ]
    assert {one.value for one in by_field["burned-in"].values} == {"no"}
    for facet in found.facets:
        for value in facet.values:
            own = [] if facet.field == "modality" else ["modality=CT"]
            assert served.client.cases(where=[*own, value.where]).total == value.count


def test_collections_are_made_changed_and_removed(served: Served) -> None:
    before = len(served.events())
    made = served.client.change_collection("teaching", add=["2.25.1", "2.25.77"], where=["modality=US"])
    assert (made.cases, made.added, made.removed, made.unknown) == (5, 5, 0, ("2.25.77",))
    changed = served.client.change_collection("teaching", remove=["2.25.1"])
    assert (changed.cases, changed.added, changed.removed) == (4, 0, 1)
    [listed] = served.client.collections()
    assert (listed.name, listed.cases, listed.author) == ("teaching", 4, made.author)
    assert served.client.cases(where=["collection=teaching"]).total == 4
    assert served.client.remove_collection("teaching").removed is True
    with pytest.raises(ApiError, match="no collection") as gone:
        served.client.remove_collection("teaching")
    assert (gone.value.status, gone.value.code) == (404, "unknown-collection")
    events = [one for one in served.events()[before:] if one.action == "collect"]
    assert set(events[0].studies) == {"2.25.1", "2.25.77", *(f"2.25.{n}" for n in range(8, 12))}
    assert list(events[1].studies) == ["2.25.1"]


def test_a_reader_changes_no_collection(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.keys['read']}"}
    assert served.http.put("/v1/collections/a", json={}, headers=headers).status_code == 403
    assert served.http.delete("/v1/collections/a", headers=headers).status_code == 403


def test_cases_leave_as_a_table(served: Served, tmp_path: Path) -> None:
    answer = served.get("/v1/cases/export", where="modality=CT")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="cases.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {one["study_instance_uid"] for one in rows} == {f"2.25.{n}" for n in range(8)}
    assert {one["study_description"] for one in rows} == {"'=cmd"}  # no formula to a spreadsheet
    assert {one["study_instance_uid"]: one["label:effusion"] for one in rows} == {
        f"2.25.{n}": str(float(n % 2)) if n < 6 else "" for n in range(8)
    }
    file = served.client.export_cases(tmp_path / "cases.parquet", where=["modality=CT"])
    table = pq.read_table(file).to_pylist()
    assert [one["study_instance_uid"] for one in table] == [one["study_instance_uid"] for one in rows]
    assert [(one["images"], one["modalities"], one["study_description"]) for one in table] == [
        (8, ["CT"], "=cmd")
    ] * 8
    assert dict(table[1]["labels"]) == {"effusion": 1.0}
    with pytest.raises(ApiError, match=r"must end in \.csv or \.parquet"):
        served.client.export_cases(tmp_path / "cases.txt")
    event = served.events()[-1]
    assert (event.action, len(event.studies)) == ("export", 8)
    assert served.get("/v1/cases/export", format="xlsx").status_code == 422
