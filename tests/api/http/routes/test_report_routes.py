"""Reports and routing rules over HTTP: jobs, decisions, exports, scopes and the audit trail."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from tests.api.conftest import Home
from tests.medgemma.test_drafts import LABELS

SCOPES = ("read", "write", "train", "report", "admin")


@dataclass
class Service:
    """A running application on a copy of the shared archive, with a key of each scope."""

    client: TestClient
    archive: Archive
    keys: dict[str, str]
    study: str

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        header = {"Authorization": f"Bearer {self.keys[who]}"}
        return self.client.request(method, f"/v1{path}", json=body, headers=header)

    def drafted(self) -> str:
        answer = self.ask("report", "POST", "/reports", {"study_instance_uid": self.study})
        assert answer.status_code == 202, answer.text
        Worker(self.archive).run(once=True)
        job = self.archive.index.jobs.get(answer.json()["id"])
        assert (job.status, job.result["id"]) == ("done", job.id)
        return job.id


@contextmanager
def started(home: Path) -> Iterator[Service]:
    with TestClient(create_app(Settings(home=home))) as client:
        archive = client.app.state.server.archive  # type: ignore[attr-defined]
        keys = {scope: archive.index.api_keys.create(scope, [scope])[1] for scope in SCOPES}
        study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
        yield Service(client, archive, keys, study)


@pytest.fixture
def service(own_home: Home) -> Iterator[Service]:
    with started(own_home.path) as made:
        yield made


@pytest.fixture(scope="module")
def without_reports(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One in which tests make nothing."""
    path = tmp_path_factory.mktemp("reports") / "home"
    shutil.copytree(home.path, path)
    with started(path) as made:
        yield made


def test_a_report_is_ordered_read_edited_accepted_and_exported(service: Service) -> None:
    audit = service.archive.index.audit
    before = sum(1 for _ in audit.events())  # of other tests, in the home that this is a copy of
    made = service.drafted()
    shown = service.ask("read", "GET", f"/reports/{made}").json()
    assert (shown["status"], shown["study_instance_uid"]) == ("draft", service.study)
    assert shown == service.archive.report(made).to_json()
    body = {"text": "My own words.", "revision": 1}
    assert service.ask("report", "POST", f"/reports/{made}/edit", body).json()["status"] == "edited"
    stale = service.ask("report", "POST", f"/reports/{made}/accept", {"revision": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "draft-changed")
    open_ = service.ask("read", "GET", f"/reports/{made}").json()["concerns"]
    accepted = service.ask(
        "report", "POST", f"/reports/{made}/accept", {"acknowledge": [one["id"] for one in open_]}
    )
    assert accepted.json()["history"][-1]["acknowledged"] == open_
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    again = service.ask("report", "POST", f"/reports/{made}/reject", {"reason": "x"})
    assert (again.status_code, again.json()["code"]) == (409, "draft-settled")
    for name, media_type in {
        "sr": "application/dicom",
        "pdf": "application/pdf",
        "fhir": "application/fhir+json",
    }.items():
        file = service.ask("report", "GET", f"/reports/{made}/export?format={name}")
        assert (file.status_code, file.headers["content-type"]) == (200, media_type)
        assert file.headers["content-disposition"].startswith("attachment")
    listed = service.ask("read", "GET", "/reports?words=own%20words").json()["reports"]
    assert [one["id"] for one in listed] == [made]
    actions = [one.event.action for one in list(audit.events())[before:] if one.event.studies]
    expected = [
        "draft",
        "report-view",
        "report-decide",
        "report-view",
        "report-decide",
        "export",
        "export",
        "list",  # the PDF shows similar cases
        "export",
    ]
    assert actions == [*expected, "report-view"]


def test_sentences_are_decided_reviewed_and_accepted(service: Service) -> None:
    made = service.drafted()
    shown = service.ask("read", "GET", f"/reports/{made}").json()
    assert " ".join(one["text"] for one in shown["sentences"]).split() == shown["text"].split()
    first = shown["sentences"][-1]
    choices = [{"sentence": first["number"], "choice": "edit", "text": "My own words."}]
    body = {"revision": 1, "sentences": choices}
    reviewed = service.ask("report", "POST", f"/reports/{made}/review", body).json()
    assert (reviewed["id"], reviewed["revision"]) == (made, 1)
    assert any(line[0] == "+" and "My own words." in line for line in reviewed["difference"].splitlines()[3:])
    assert service.ask("read", "GET", f"/reports/{made}").json() == shown, "nothing is stored"
    body["acknowledge"] = [one["id"] for one in reviewed["concerns"]]
    done = service.ask("report", "POST", f"/reports/{made}/accept", body).json()
    assert (done["status"], done["text"], done["revision"]) == ("accepted", reviewed["text"], 3)
    assert done["history"][-1]["decisions"] == [{**choices[0], "quote": first["text"]}]
    assert done["history"][-2]["difference"] == reviewed["difference"]


@pytest.mark.long(every=2)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sentences": [{"sentence": 0, "choice": "cut"}]}, "revision-missing"),
        ({"revision": 1, "sentences": [{"sentence": 999, "choice": "cut"}]}, "unknown-sentence"),
        *(
            pytest.param(
                {"revision": 1, "sentences": [{"sentence": 0, **choice}]}, code, marks=pytest.mark.campaign
            )
            for choice, code in (
                ({"choice": "edit"}, "text-missing"),
                ({"choice": "drop"}, "bad-request"),
                ({"choice": "edit", "text": "\x00"}, "bad-request"),
            )
        ),
    ],
)
def test_decisions_that_cannot_be_followed_are_problems(
    service: Service, body: dict[str, Any], code: str
) -> None:
    made = service.drafted()
    for path in ("review", "accept"):
        answer = service.ask("report", "POST", f"/reports/{made}/{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_drafts_are_listed_in_pages_with_the_verdicts_of_their_sentences(service: Service) -> None:
    made = [service.drafted() for _ in range(3)]
    whole = service.ask("read", "GET", "/reports").json()
    assert (len(whole["reports"]), whole["cursor"]) == (3, None)
    paged: list[str] = []
    cursor = ""
    while cursor is not None:
        page = service.ask("read", "GET", f"/reports?limit=2{cursor}").json()
        paged += [one["id"] for one in page["reports"]]
        cursor = page["cursor"] and f"&cursor={page['cursor']}"
    assert paged == [one["id"] for one in whole["reports"]]
    assert sorted(paged) == sorted(made)
    counts = whole["reports"][0]["verdicts"]
    shown = service.ask("read", "GET", f"/reports/{made[-1]}").json()
    assert counts == dict(Counter(one["verdict"] for one in shown["checks"]))
    for verdict in ("agree", "contradict", "doubtful", "unsupported", "not-checkable"):
        found = service.ask("read", "GET", f"/reports?verdict={verdict}").json()["reports"]
        assert bool(found) == (verdict in counts)
    odd = service.ask("read", "GET", "/reports?cursor=abc")
    assert (odd.status_code, odd.json()["code"]) == (422, "bad-cursor")


def test_routing_rules_are_stored_tested_run_and_removed(service: Service) -> None:
    rule = {"studies": "all", "modality": ["CR", "DX"], "total": 1}
    assert service.ask("admin", "PUT", "/routes/chest", rule).json()["rule"] == rule
    tried = service.ask("admin", "POST", "/routes/chest/test").json()
    assert len(tried["would_send"]) >= 1
    assert service.archive.index.jobs.listed() == []
    other = service.ask("admin", "POST", "/routes/other/test", {"modality": ["MR"]}).json()
    assert all(one["conditions"][0]["value"] == ["MR"] for one in other["would_send"])
    assert service.ask("admin", "POST", "/routes/chest/run").json()["sent"] == 1
    shown = service.ask("report", "GET", "/routes/chest").json()
    assert (shown["sent"], shown["held"]) == (1, len(tried["would_send"]) - 1)
    assert [one["name"] for one in service.ask("report", "GET", "/routes").json()["routes"]] == ["chest"]
    bad = service.ask("admin", "PUT", "/routes/chest", {"wehre": []})
    assert (bad.status_code, bad.json()["code"]) == (422, "bad-route")
    unknown = service.ask("admin", "PUT", "/routes/chest", {"generator": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown-generator")
    assert service.ask("admin", "DELETE", "/routes/chest").status_code == 200
    assert service.ask("report", "GET", "/routes/chest").status_code == 404


# Of a text that mentions nothing, by any of the labels of the phantoms' prompts.
OMITTED = [f"omitted:{label}" for label in LABELS]
WHO: list[tuple[str, str, Any, set[str]]] = [
    ("POST", "/reports", {"study_instance_uid": "STUDY"}, {"report", "admin"}),
    ("GET", "/reports", None, {"read", "admin"}),
    ("GET", "/reports/DRAFT", None, {"read", "admin"}),
    ("POST", "/reports/DRAFT/edit", {"text": "x"}, {"report", "admin"}),
    ("POST", "/reports/DRAFT/review", {}, {"report", "admin"}),
    ("GET", "/reports/DRAFT/export", None, {"report", "admin"}),
    ("POST", "/reports/DRAFT/accept", {"acknowledge": OMITTED}, {"report"}),
    ("POST", "/reports/DRAFT/reject", {"reason": "x"}, set()),
    ("PUT", "/routes/x", {"enabled": False}, {"admin"}),
    ("GET", "/routes", None, {"report", "admin"}),
    ("GET", "/routes/x", None, {"report", "admin"}),
    ("POST", "/routes/x/test", None, {"admin"}),
    ("POST", "/routes/x/run", None, {"admin"}),
    ("DELETE", "/routes/x", None, {"admin"}),
]


def test_every_operation_needs_its_scope(service: Service) -> None:
    draft = service.drafted()
    for method, path, body, allowed in WHO:
        body_sent = body and {
            name: service.study if value == "STUDY" else value for name, value in body.items()
        }
        for scope in SCOPES:
            answer = service.ask(scope, method, path.replace("DRAFT", draft), body_sent)
            may = answer.status_code in (200, 202)
            if scope in ("report", "admin") and answer.status_code == 409:
                continue  # the one before has settled the draft
            assert may == (scope in allowed), (method, path, scope, answer.text)
            if not may:
                assert answer.json()["code"] == "missing-scope"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/reports", {"study_instance_uid": "1.2.3"}, 404, "unknown-study"),
        ("POST", "/reports", {"study_instance_uid": "STUDY", "route": "no"}, 404, "unknown-route"),
        ("POST", "/reports", {"study_instance_uid": "STUDY", "generator": "no"}, 422, "unknown-generator"),
        ("POST", "/reports", {"study_instance_uid": "STUDY", "options": {"x": 1}}, 422, "bad-route"),
        ("POST", "/reports", {}, 422, "bad-request"),
        ("GET", "/reports/nothing", None, 404, "unknown-draft"),
        ("POST", "/reports/nothing/accept", None, 404, "unknown-draft"),
        ("POST", "/reports/nothing/reject", {"reason": ""}, 422, "bad-request"),
        ("GET", "/reports/nothing/export?format=doc", None, 422, "bad-request"),
        ("POST", "/routes/nothing/test", None, 404, "unknown-route"),
        ("POST", "/routes/nothing/run", None, 404, "unknown-route"),
        ("DELETE", "/routes/nothing", None, 404, "unknown-route"),
    ],
)
def test_failures_are_problems_with_a_code(
    without_reports: Service, method: str, path: str, body: Any, status: int, code: str
) -> None:
    study = without_reports.study
    body_sent = body and {name: study if value == "STUDY" else value for name, value in body.items()}
    answer = without_reports.ask("admin", method, path, body_sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
