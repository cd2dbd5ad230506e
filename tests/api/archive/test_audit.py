"""The audit trail over HTTP and at the command line, and that nothing is done that it does not hold."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import create_engine

from medsiglip.api.archive.audit_trail import local_actor
from medsiglip.api.http import auditing
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home, Phantoms, run

LOOPBACK = "http://127.0.0.1:8000"


def trail(home: Home) -> list[dict[str, Any]]:
    return list(home.run("audit", "list", "--last", 1000).json["events"])


def break_trail(home: Path) -> None:
    engine = create_engine(f"sqlite:///{home / 'catalog.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_events_no_update")
        connection.exec_driver_sql("UPDATE audit_events SET actor = 'nobody' WHERE sequence = 2")
    engine.dispose()


def test_what_changes_or_exports_cases_is_in_the_trail(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    before = len(trail(own_home))
    study = own_home.run("study", "list").json["studies"][0]
    of_patient = own_home.run("study", "list").json["studies"][1]
    own_home.run("label", "import", phantoms.labels)
    own_home.run("index", "export", "--out", tmp_path / "out")
    own_home.run("forget", "--study", study["study_instance_uid"])
    own_home.run("forget", "--patient", of_patient["patient_key"])
    own_home.run("forget", "--patient", "Doe^Jane")
    own_home.run("keys", "create", "x", "--scopes", "read")
    new = trail(own_home)[before:]
    assert [event["action"] for event in new] == ["label", "export", *["forget"] * 3, "create-key"]
    assert new[2]["studies"] == [study["study_instance_uid"]]
    assert of_patient["study_instance_uid"] in new[3]["studies"]
    assert new[3]["details"] == {"patient_key": of_patient["patient_key"]}
    assert (new[4]["studies"], new[4]["details"]) == ([], {})
    assert {event["actor"] for event in new} == {local_actor()}
    assert local_actor().startswith("local:")
    concerned = own_home.run("audit", "list", "--study", study["study_instance_uid"]).json["events"]
    assert [event["action"] for event in concerned] == ["label", "label", "forget"]


def test_an_ingest_is_in_the_trail_and_a_dry_run_is_not(phantoms: Phantoms, tmp_path: Path) -> None:
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    home = Home(tmp_path / "home", {})
    home.run("ingest", file)
    home.run("ingest", file, "--dry-run")
    (event,) = trail(home)
    assert (event["action"], event["details"]["embedded"]) == ("ingest", 1)


def test_exports_hold_what_anybody_needs_to_verify(own_home: Home, tmp_path: Path) -> None:
    for suffix in ("jsonl", "csv", "parquet"):
        exported = own_home.run("audit", "export", "--out", tmp_path / f"trail.{suffix}").json
        assert exported["path"] == str(tmp_path / f"trail.{suffix}")
    rows = [json.loads(line) for line in (tmp_path / "trail.jsonl").read_text().splitlines()]
    assert rows == trail(own_home)[: len(rows)]
    assert rows[-1]["action"] == "audit-export"
    with (tmp_path / "trail.csv").open() as stream:
        cells = list(csv.DictReader(stream))
    assert [row["hash"] for row in cells][: len(rows)] == [row["hash"] for row in rows]
    table = pq.read_table(tmp_path / "trail.parquet").to_pylist()
    assert [row["hash"] for row in table][: len(rows)] == [row["hash"] for row in rows]
    assert (len(cells), len(table)) == (len(rows) + 1, len(rows) + 2)
    failed = own_home.run("audit", "export", "--out", tmp_path / "trail.xlsx")
    assert failed.error["code"] == "bad-suffix"


def test_verification_at_the_command_line(own_home: Home) -> None:
    own_home.run("keys", "create", "x", "--scopes", "read")
    whole = own_home.run("audit", "verify").json
    assert whole["ok"]
    assert own_home.run("audit", "verify", "--head", whole["head"]).json["ok"]
    assert whole["head"] in own_home.show("audit", "verify").out
    sequence, _, digest = whole["head"].partition(":")
    other = f"{sequence}:{'0' * 64}"
    assert (own_home.run("audit", "verify", "--head", other).code) == 1
    assert own_home.run("audit", "verify", "--head", f"{int(sequence) + 1}:{digest}").code == 1
    assert own_home.run("audit", "verify", "--head", digest).error["code"] == "bad-head"
    break_trail(own_home.path)
    broken = own_home.run("audit", "verify")
    assert broken.code == 1
    assert json.loads(broken.out) == {"ok": False, "events": 2, "head": None, "broken_at": 2}
    assert "broken at event 2" in own_home.show("audit", "verify").out


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    app = create_app(Settings(home=tmp_path / "home"))

    @app.get("/v1/shows")
    def shows(request: Request) -> str:
        auditing.record(request, "view", ["1.2", "1.3", "1.2"], images=2)
        return "a picture"

    @app.get("/v1/misnames")
    def misnames(request: Request) -> None:
        auditing.record(request, "peek")

    return app


def test_over_http_with_caller_and_request(app: FastAPI) -> None:
    with TestClient(app, base_url=LOOPBACK) as client:
        index = app.state.server.archive.index
        reader, shown = index.api_keys.create("reader", ["read"])
        _, admin = index.api_keys.create("admin", ["admin"])
        sent = {"Authorization": f"Bearer {shown}", "X-Request-ID": "r-7"}
        client.get("/v1/shows", headers=sent)
        headers = {"Authorization": f"Bearer {admin}"}
        answer = client.get("/v1/audit", headers=headers)
        assert answer.headers["content-type"] == "application/jsonl"
        first, second = [json.loads(line) for line in answer.text.splitlines()]
        assert (first["actor"], first["action"], first["studies"]) == (reader.id, "view", ["1.2", "1.3"])
        assert (first["request_id"], first["details"]) == ("r-7", {"images": 2})
        assert second["action"] == "audit-export"
        part = client.get("/v1/audit?after=1&limit=1", headers=headers).text.splitlines()
        assert [json.loads(line)["sequence"] for line in part] == [2]
        assert index.audit.verify().ok
        assert client.get("/v1/audit", headers=sent).status_code == 403
        assert client.get("/v1/misnames", headers=sent).status_code == 500


def test_what_cannot_be_noted_is_not_shown(app: FastAPI) -> None:
    with TestClient(app, base_url=LOOPBACK) as client:
        assert client.get("/v1/shows").json() == "a picture"
        engine = app.state.server.archive.index._database._engine
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        for path in ("/v1/shows", "/v1/audit"):
            answer = client.get(path)
            assert answer.status_code >= 500
            assert "picture" not in answer.text


def test_a_trail_of_nothing(tmp_path: Path) -> None:
    CaseIndex.open(tmp_path / "home").close()
    assert run("--home", tmp_path / "home", "--json", "audit", "verify").json["events"] == 0
    assert run("--home", tmp_path / "home", "--json", "audit", "list").json == {"events": []}


def labelled(folder: Path, key: str, values: list[str]) -> Path:
    csv_file = folder / f"{key}.csv"
    csv_file.write_text("\n".join([f"{key},label:seen", *(f"{value},1" for value in values)]) + "\n")
    return csv_file


@pytest.mark.parametrize("phi", ["pseudonymous", "strict"])
def test_labels_name_the_studies_that_they_change(phantoms: Phantoms, tmp_path: Path, phi: str) -> None:
    """By any key, at the command line and over HTTP, in rows and in a CSV."""
    import pydicom

    home = Home(tmp_path / "home", {})
    paths = sorted(phantoms.dicom.rglob("*.dcm"))
    chosen = [next(path for path in paths if pydicom.dcmread(path).Modality == kind) for kind in ("CR", "XC")]
    home.run("ingest", *chosen, "--phi", phi)
    stored = {
        one["modalities"][0]: one["study_instance_uid"] for one in home.run("study", "list").json["studies"]
    }
    headers = [pydicom.dcmread(path) for path in chosen]
    keys = {
        "path": [str(path) for path in chosen],
        "sop_instance_uid": [str(header.SOPInstanceUID) for header in headers],
        "series_instance_uid": [str(header.SeriesInstanceUID) for header in headers],
        "study_instance_uid": [str(header.StudyInstanceUID) for header in headers],
    }
    modality = str(headers[0].Modality)
    for key, (first, second) in keys.items():
        for given, expected in (
            ([first], {stored[modality]}),
            ([first, second, "1.2.3"], set(stored.values())),
        ):
            assert home.run("label", "import", labelled(tmp_path, key, given)).code == 0
            event = trail(home)[-1]
            assert (event["action"], set(event["studies"])) == ("label", expected), key
            assert event["details"] == {"rows": len(given)}
    app = create_app(Settings(home=home.path))
    with TestClient(app, base_url=LOOPBACK) as client:
        uid = keys["series_instance_uid"][1]
        row = {"series_instance_uid": uid, "label": "seen", "value": 1}
        assert client.post("/v1/labels", json={"rows": [row]}).status_code == 200
        csv_file = labelled(tmp_path, "study_instance_uid", keys["study_instance_uid"])
        sent = {"file": (csv_file.name, csv_file.read_bytes(), "text/csv")}
        assert client.post("/v1/labels", files=sent).status_code == 200
        events = [one.event for one in app.state.server.archive.index.audit.events()][-2:]
        assert [event.action for event in events] == ["label", "label"]
        assert set(events[0].studies) == set(stored.values()) - {stored[modality]}
        assert set(events[1].studies) == set(stored.values())
        assert [event.details for event in events] == [{"rows": 1}, {"rows": 2}]


def test_a_probe_from_a_csv_names_the_studies_that_it_labels(own_home: Home, phantoms: Phantoms) -> None:
    own_home.run("probe", "train", "skin", "--labels", phantoms.labels)
    of_labels, of_probe = trail(own_home)[-2:]
    assert (of_labels["action"], of_probe["action"]) == ("label", "train")
    assert set(of_labels["studies"]) == set(phantoms.by_study)
    assert of_labels["details"] == {"rows": len(phantoms.by_study), "probe": "skin"}


def test_a_list_of_all_studies_is_one_event_with_their_number(own_home: Home) -> None:
    app = create_app(Settings(home=own_home.path))
    with TestClient(app, base_url=LOOPBACK) as client:
        studies = client.get("/v1/studies").json()["studies"]
        some = client.get("/v1/studies", params={"where": "modality=CR"}).json()["studies"]
        page = client.get("/v1/studies", params={"limit": 2, "offset": 1}).json()["studies"]
        events = [one.event for one in app.state.server.archive.index.audit.events()][-3:]
    assert [event.action for event in events] == ["list"] * 3
    assert (events[0].studies, events[0].details) == ((), {"count": len(studies)})
    for event, shown in zip(events[1:], (some, page), strict=True):
        assert set(event.studies) == {one["study_instance_uid"] for one in shown}
        assert event.details == {}
    assert 0 < len(some) < len(studies)
