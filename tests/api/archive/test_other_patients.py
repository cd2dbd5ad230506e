"""Reports of similar cases over HTTP: beside a draft for who reads it, and in no export or search."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from tests.api.conftest import Home
from tests.export_contents import held
from tests.medgemma.planted_reports import PLANTED, SEARCHES, SECRETS, copying
from tests.medgemma.scripted_server import Script, serving

FORMATS = ("sr", "pdf", "html", "fhir", "markdown", "dicom-pdf")


@dataclass
class Service:
    """An application; the second of `studies`, which are of different patients, has a planted report."""

    client: TestClient
    archive: Archive
    script: Script
    studies: list[str]
    key: str

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        header = {"Authorization": f"Bearer {self.key}"}
        answer = self.client.request(method, f"/v1{path}", json=body, params=query, headers=header)
        assert answer.status_code < 300, answer.text
        return answer

    def drafted(self, study: str, generator: str) -> dict[str, Any]:
        order = {"study_instance_uid": study, "generator": generator, "options": {"neighbours": 5}}
        job = self.ask("POST", "/reports", order).json()["id"]
        Worker(self.archive).run(once=True)
        done = self.ask("GET", f"/jobs/{job}").json()
        assert done["status"] == "done", done
        assert told(json.dumps(done)) == []
        draft: dict[str, Any] = self.ask("GET", f"/reports/{job}").json()
        return draft

    def accept(self, draft: str) -> None:
        """Accept a draft with all its concerns."""
        listed = self.ask("GET", f"/reports/{draft}").json()["concerns"]
        self.ask("POST", f"/reports/{draft}/accept", {"acknowledge": [one["id"] for one in listed]})

    def found(self, words: str) -> set[str]:
        """Studies that a search, the list of studies and the list of drafts give for words of a report."""
        where = f"report={words}"
        listed = self.ask("GET", "/studies", where=where).json()["studies"]
        drafts = self.ask("GET", "/reports", words=words).json()["reports"]
        hits = self.ask("POST", "/search", {"text": "chest", "level": "study", "where": [where]}).json()[
            "hits"
        ]
        return {one["study_instance_uid"] for one in (*listed, *drafts, *hits)}


@pytest.fixture
def service(own_home: Home) -> Iterator[Service]:
    with serving(Script()) as script:
        server = f'[near]\nurl = "{script.url}"\nmodel = "scripted"\n'
        (own_home.path / "generators.toml").write_text(server)
        with TestClient(create_app(Settings(home=own_home.path))) as client:
            archive = client.app.state.server.archive  # type: ignore[attr-defined]
            key = archive.index.api_keys.create("all", ["read", "report", "admin"])[1]
            studies = archive.studies(["modality=CR|DX"])["studies"]
            by_patient = {one["patient_key"]: one["study_instance_uid"] for one in studies}
            uids = list(by_patient.values())
            archive.index.report_texts.put({uids[1]: PLANTED}, "import")
            yield Service(client, archive, script, uids, key)


def told(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret.lower() in text.lower()]


@pytest.mark.long
@pytest.mark.parametrize("generator", ["evidence-only", "near"])
def test_another_patients_words_leave_in_no_export_and_are_found_in_no_report(
    service: Service, generator: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    study, other, third = service.studies[:3]
    service.script.turns = copying(f"Clear lungs.\n{PLANTED}", thinking=PLANTED)
    draft = service.drafted(study, generator)
    assert PLANTED in [one["text"] for one in draft["evidence"]]
    beside = {name: value for name, value in draft.items() if name != "evidence"}
    assert told(json.dumps(beside)) == []
    assert bool(draft["warnings"]) == (generator == "near")
    for step in (None, "accept"):
        if step:
            service.accept(draft["id"])
        for format_ in FORMATS:
            content = service.ask("GET", f"/reports/{draft['id']}/export", format=format_).content
            assert held(content, SECRETS) == [], format_
    assert [words for words in SEARCHES if service.found(words) != {other}] == []
    assert told(json.dumps(service.ask("GET", "/reports").json())) == []
    following = service.drafted(third, generator)
    texts = {one["study_instance_uid"]: one["text"] for one in following["evidence"]}
    assert (texts[study], texts[other]) == (draft["text"], PLANTED)
    assert told(following["text"]) == []
    assert told(json.dumps([str(event) for event in service.archive.index.audit.events()])) == []
    ours = [record.getMessage() for record in caplog.records]
    assert told("\n".join(line for line in ours if "http://testserver" not in line)) == []


@pytest.mark.long
def test_a_person_sees_what_he_keeps_of_another_patient(service: Service, own_home: Home) -> None:
    study, other = service.studies[:2]
    made = service.drafted(study, "evidence-only")
    kept = "Large pneumothorax on the left, 37 mm wide."
    edited = service.ask("POST", f"/reports/{made['id']}/edit", {"text": f"Mine.\n{kept}"}).json()
    assert f"[[copied from a similar case][{kept}]]" in edited["marked"]
    [warning] = edited["warnings"]
    assert "another patient" in warning
    assert told(warning) == []
    shown = own_home.show("report", "show", made["id"]).out
    assert f"warning: {warning}" in shown
    assert "copied-from-similar-case" in "".join(shown.split())
    service.accept(made["id"])
    exported = service.ask("GET", f"/reports/{made['id']}/export").text
    assert "A sentence stands in the report of another patient." in exported
    assert service.found("37 mm wide") == {study, other}, "it is his text"
