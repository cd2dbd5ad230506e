"""Reports on their way to a PACS, over HTTP and by the command line: jobs, lists, refusals, the audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient

from medsiglip.answers.pacs import DeliveryPage, DeliveryReport
from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from medsiglip.ingest.pacs import opening
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.records import PacsStudy
from tests.api.archive.pacs.memory_pacs import MemoryPacs
from tests.api.conftest import Home


@dataclass
class Service:
    """A running application with a key of each scope, and an accepted report of a study that its PACS has."""

    client: TestClient
    archive: Archive
    keys: dict[str, str]
    pacs: MemoryPacs
    report: str

    def ask(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers["Authorization"] = f"Bearer {self.keys[who]}"
        return self.client.request(method, f"/v1{path}", json=body, headers=headers)

    def events(self, action: str) -> list[Any]:
        return [one.event for one in self.archive.index.audit.events() if one.event.action == action]


@pytest.fixture
def service(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with TestClient(create_app(Settings(home=own_home.path))) as client:
        archive = client.app.state.server.archive  # type: ignore[attr-defined]
        keys = {
            scope: archive.index.api_keys.create(scope, [scope])[1] for scope in ("read", "write", "report")
        }
        study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
        [header] = [pydicom.dcmread(one.path) for one in archive.index.images_of(study)[:1]]
        pacs = MemoryPacs([PacsStudy(study, header.PatientID, patient_name="山田^太郎")])

        def open_client(connection: Connection, spend: object) -> MemoryPacs:
            assert connection.url == "http://127.0.0.1:1/dicom-web"
            return pacs

        monkeypatch.setattr(opening, "open_client", open_client)
        for name in ("main", "other"):
            archive.add_pacs(name, url="http://127.0.0.1:1/dicom-web")
        report = archive.draft_report(study, by="test", options={"neighbours": 0})["id"]
        archive.accept_report(report, by="ann")
        yield Service(client, archive, keys, pacs, report)


def test_a_report_is_sent_by_a_job_and_listed_with_its_draft_and_its_pacs(service: Service) -> None:
    body = {"to": "main", "formats": ["sr", "pdf"]}
    path = f"/reports/{service.report}"
    ordered = service.ask("write", "POST", f"{path}/send", body, **{"Idempotency-Key": "a"})
    assert ordered.status_code == 202, ordered.text
    again = service.ask("write", "POST", f"{path}/send", body, **{"Idempotency-Key": "a"})
    assert again.json()["id"] == ordered.json()["id"]
    assert ordered.headers["Location"] == f"/v1/jobs/{ordered.json()['id']}"
    waiting = DeliveryPage.model_validate(service.ask("read", "GET", f"{path}/deliveries").json())
    assert {(one.format, one.status, one.to) for one in waiting.deliveries} == {
        ("sr", "waiting", "main"),
        ("pdf", "waiting", "main"),
    }
    Worker(service.archive).run(once=True)
    job = service.archive.index.jobs.get(ordered.json()["id"])
    assert job.status == "done"
    result = DeliveryReport.model_validate(job.result)
    assert result.study_instance_uid == service.pacs.study.study_instance_uid
    assert [str(one.PatientName) for one in service.pacs.stored] == ["山田^太郎"] * 2
    assert {one.SpecificCharacterSet for one in service.pacs.stored} == {"ISO_IR 192"}
    assert {one.SOPInstanceUID for one in service.pacs.stored} == {
        one.sop_instance_uid for one in result.deliveries
    }
    service.ask("write", "POST", f"{path}/send", {"to": "other"})
    listed = service.ask("read", "GET", "/pacs/main/deliveries?status=sent").json()
    assert {one["id"] for one in listed["deliveries"]} == {one.id for one in result.deliveries}
    assert service.ask("read", "GET", "/pacs/main/deliveries?status=failed").json()["deliveries"] == []
    first = service.ask("read", "GET", f"{path}/deliveries?limit=1").json()
    rest = service.ask("read", "GET", f"{path}/deliveries?limit=5&cursor={first['cursor']}").json()
    assert [one["to"] for one in first["deliveries"] + rest["deliveries"]] == ["other", "main", "main"]
    page = service.ask("read", "GET", "/pacs/main/deliveries?limit=1").json()
    more = service.ask("read", "GET", f"/pacs/main/deliveries?limit=1&cursor={page['cursor']}").json()
    assert {one["format"] for one in page["deliveries"] + more["deliveries"]} == {"sr", "pdf"}
    sent = service.events("pacs-send")
    assert {one.studies for one in sent} == {(service.pacs.study.study_instance_uid,)}
    assert sent[0].details == {"draft": service.report, "to": "main"}


def test_a_key_that_was_used_lets_nothing_wait_that_no_job_sends(service: Service) -> None:
    service.pacs.studies_held = [replace(service.pacs.study, patient_id="SOMEBODY-ELSE")]
    path, body, key = f"/reports/{service.report}", {"to": "main"}, {"Idempotency-Key": "a"}
    service.ask("write", "POST", f"{path}/send", body, **key)
    Worker(service.archive).run(once=True)
    again = service.ask("write", "POST", f"{path}/send", body, **key)
    [row] = service.ask("read", "GET", f"{path}/deliveries").json()["deliveries"]
    assert (again.json()["status"], row["status"]) == ("failed", "failed")
    assert row["failure"]["code"] == "pacs-other-patient"
    assert service.pacs.stored == []


def test_what_cannot_be_sent_is_refused_with_a_code(service: Service) -> None:
    draft = service.archive.draft_report(
        service.pacs.study.study_instance_uid, by="test", options={"neighbours": 0}
    )["id"]
    for path, body, status, code in (
        (f"/reports/{draft}/send", {"to": "main"}, 409, "not-accepted"),
        (f"/reports/{service.report}/send", {"to": "nowhere"}, 404, "unknown-pacs"),
        (f"/reports/{'0' * 32}/send", {"to": "main"}, 404, "unknown-draft"),
        (f"/reports/{service.report}/send", {"to": "main", "formats": ["html"]}, 422, "bad-request"),
        (f"/reports/{service.report}/send", {"to": "main", "formats": []}, 422, "bad-request"),
        (f"/reports/{service.report}/send", {"formats": ["sr"]}, 422, "bad-request"),
    ):
        answer = service.ask("write", "POST", path, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    for path, code in (
        ("/pacs/nowhere/deliveries", "unknown-pacs"),
        (f"/reports/{'0' * 32}/deliveries", "unknown-draft"),
    ):
        answer = service.ask("read", "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert service.ask("report", "POST", f"/reports/{service.report}/send", {"to": "main"}).status_code == 403
    assert service.archive.index.pacs_deliveries.listed() == []


@pytest.mark.long
def test_the_command_line_sends_and_says_what_became_of_it(service: Service, own_home: Home) -> None:
    ran = own_home.run(
        "pacs", "send", service.report[:12], "--to", "main", "--format", "sr", "--format", "pdf"
    )
    assert {(one["format"], one["status"]) for one in ran.json["deliveries"]} == {
        ("sr", "sent"),
        ("pdf", "sent"),
    }
    shown = own_home.show("pacs", "send", service.report, "--to", "main")
    assert (shown.code, "sent" in shown.out) == (0, True)
    assert len(service.pacs.stored) == 2
    assert own_home.run("pacs", "send", service.report, "--to", "nowhere").error["code"] == "unknown-pacs"
    [event] = service.events("pacs-send")[:1]
    assert event.details == {"draft": service.report, "to": "main"}
