"""PACS over HTTP, as a client asks for them: connections, questions, studies brought in, and files that go
and come back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pydicom
import pytest

from medsiglip.answers.jobs import Job
from medsiglip.answers.pacs import FetchReport, ReleaseReport
from medsiglip.client.client import ApiError, Client
from tests.api.http.routes.pacs.conftest import Beside, Held


def refused(call: Callable[..., Any], *given: Any, **options: Any) -> str:
    with pytest.raises(ApiError) as failed:
        call(*given, **options)
    return failed.value.code


def uids(held: tuple[Held, ...]) -> set[str]:
    return {one.study_instance_uid for one in held}


def test_connections_are_added_listed_tried_and_removed(beside: Beside) -> None:
    with beside.service.client() as admin, beside.service.client("read") as reader:
        added = admin.add_pacs("spare", url="http://127.0.0.1:9/dicom-web", rate=3, hours="20:00-06:00")
        assert added.options == {
            "kind": "dicomweb",
            "url": "http://127.0.0.1:9/dicom-web",
            "rate": 3.0,
            "hours": "20:00-06:00",
        }
        for name, about in (("main", "DICOMweb"), ("old", "")):
            echoed = admin.pacs_echo(name)
            assert echoed.seconds >= 0
            assert about in echoed.about
        assert refused(admin.pacs_echo, "spare") == "pacs-unreachable"
        listed = {one.name: one for one in admin.pacs().connections}
        assert {name: one.state for name, one in listed.items()} == {
            "main": "ok",
            "old": "ok",
            "spare": "failing",
        }
        failure = listed["spare"].failure
        assert failure is not None
        assert failure.code == "pacs-unreachable"
        assert {one.options for one in reader.pacs().connections} == {None}
        changed = admin.add_pacs("spare", host="127.0.0.1", port=9, ae_title="SPARE", retrieve="get")
        assert changed.options == {"kind": "dimse", "host": "127.0.0.1", "port": 9, "ae_title": "SPARE"}
        admin.remove_pacs("spare")
        for call in (
            admin.pacs_echo,
            admin.remove_pacs,
            admin.pacs_sync,
            admin.pacs_studies,
            admin.pacs_retry,
        ):
            assert refused(call, "spare") == "unknown-pacs"
        events = admin.audit_events(action="pacs-connection", limit=3).events
        assert [one.details for one in events] == [
            {"connection": "spare", "change": "remove"},
            *([{"connection": "spare", "change": "put"}] * 2),
        ]


def test_secrets_are_not_named_over_http(beside: Beside) -> None:
    secrets = {
        "ca_file": "/etc/ssl/ca.pem",
        "certificate_file": "/etc/ssl/own.pem",
        "key_file": "/etc/ssl/own.key",
        "token_file": "/etc/shadow",
        "token_command": "cat /etc/shadow",
        "username": "root",
        "password_file": "/etc/shadow",
    }
    with beside.service.client() as admin:
        for name, value in secrets.items():
            asked = {"url": "https://127.0.0.1/dicom-web", name: value}
            assert refused(admin.add_pacs, "secret", **asked) == "pacs-secrets"
        assert refused(admin.add_pacs, "x", url="http://a:b@127.0.0.1/") == "bad-connection"
        assert refused(admin.add_pacs, "x", url="file:///etc") == "bad-connection"
        assert refused(admin.add_pacs, "x", urll="http://127.0.0.1/") == "bad-request"
        assert "secret" not in {one.name for one in admin.pacs().connections}


def test_a_connection_with_secrets_is_not_led_elsewhere(beside: Beside) -> None:
    from medsiglip.api.archive.archive import Archive

    token = beside.service.home / "token"
    token.write_text("secret")
    with Archive(beside.service.home) as local:
        local.add_pacs("guarded", url="https://127.0.0.1:9/dicom-web", token_file=token)
    with beside.service.client() as admin:
        assert refused(admin.add_pacs, "guarded", url="http://127.0.0.1:9/") == "pacs-secrets"
        [shown] = [one for one in admin.pacs().connections if one.name == "guarded"]
        assert shown.options == {
            "kind": "dicomweb",
            "url": "https://127.0.0.1:9/dicom-web",
            "token_file": str(token),
        }
        admin.remove_pacs("guarded")
        admin.add_pacs("guarded", url="http://127.0.0.1:9/")
        admin.remove_pacs("guarded")


@pytest.mark.parametrize("name", ["main", "old"])
def test_a_pacs_is_asked_by_each_field(beside: Beside, name: str) -> None:
    first, second, *_ = beside.held
    with beside.service.client("write") as client:
        questions: list[dict[str, str]] = [
            {"patient_id": first.patient_id},
            {"patient_name": "Quell*"},
            {"accession_number": first.accession_number},
            {"study_instance_uid": first.study_instance_uid},
            {"patient_id": "person-77-?", "modality": "XC"},
            {"patient_id": "person-77-?", "modality": "CT"},
            {"study_description": "*", "patient_id": first.patient_id},
            {"from_date": iso(first.study_date), "to_date": iso(first.study_date)},
        ]
        answers = [client.pacs_find(name, **asked) for asked in questions]  # type: ignore[arg-type]
        found = [{one.study_instance_uid for one in answer.studies} for answer in answers]
        alone = {first.study_instance_uid}
        same_day = {one.study_instance_uid for one in beside.held if one.study_date == first.study_date}
        assert found == [alone, alone, alone, alone, uids(beside.held), set(), alone, same_day]
        few = client.pacs_find(name, limit=2)
        assert (len(few.studies), few.truncated) == (2, True)
        [shown] = client.pacs_find(name, study_instance_uid=second.study_instance_uid).studies
        assert shown.to_json() | {"here": None, "images": None, "study_description": None} == {
            "study_instance_uid": second.study_instance_uid,
            "patient_key": shown.patient_key,
            "study_date": iso(second.study_date),
            "study_description": None,
            "modalities": ["XC"],
            "series": 1,
            "instances": second.instances,
            "here": None,
            "images": None,
        }
        assert refused(client.pacs_find, name, from_date="2030-02-31") == "bad-pacs-question"
        assert refused(client.pacs_find, name, from_date="today") == "bad-request"
        assert refused(client.pacs_find, name, patient_id="a\\b") == "bad-pacs-question"


def iso(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


def brought(client: Client, job: Any) -> dict[str, Any]:
    result: dict[str, Any] = client.wait(job).result
    return result


def test_studies_are_brought_in_and_nothing_names_their_patients(beside: Beside) -> None:
    first, second, third, fourth = beside.held
    with beside.service.client("write") as client, beside.service.client() as admin:
        report = brought(client, client.pacs_pull("main", [first.study_instance_uid]))
        assert (report["asked"], report["here"], report["instances"]) == (1, 1, first.instances)
        assert (report["incomplete"], report["failed"]) == ([], [])
        report = brought(client, client.pacs_pull("old", patient_name="Müller*"))
        assert (report["asked"], report["here"]) == (1, 1)
        announced = [client.pacs_pull_study("main", third.study_instance_uid) for _ in range(3)]
        assert len({one.id for one in announced}) == 1
        assert brought(client, announced[0])["here"] == 1
        here = {one.study_instance_uid: one.here for one in client.pacs_find("main").studies}
        assert [here[one.study_instance_uid] for one in beside.held] == ["all", "all", "all", "no"]
        with beside.service.client("read") as reader:
            there = {one.study_instance_uid for one in reader.studies()}
            assert uids(beside.held) - there == {fourth.study_instance_uid}
            detail = reader.study(first.study_instance_uid)
            [found] = client.pacs_find("main", patient_id=first.patient_id).studies
            assert (found.patient_key, found.images) == (detail.patient_key, len(detail.images))
            page = reader.pacs_studies("main", status="here", limit=1)
            rest = reader.pacs_studies("main", status="here", cursor=page.cursor)
            listed = [one.study_instance_uid for one in (*page.studies, *rest.studies)]
            assert (listed, rest.cursor) == ([third.study_instance_uid, first.study_instance_uid], None)
        asked = client.pacs_find("main", patient_id=first.patient_id)
        assert len(asked.studies) == 1
        events = admin.audit_events(action="pacs-find", limit=1).events
        assert [one.details for one in events] == [{"connection": "main", "results": 1}]
        ordered = [one.studies for one in admin.audit_events(action="pacs-pull", limit=5).events]
        assert ordered == [(one.study_instance_uid,) for one in (*[third] * 3, second, first)]
    assert beside.traces() == []


def test_a_pull_says_what_it_cannot_do(beside: Beside) -> None:
    with beside.service.client("write") as client, beside.service.client("read") as reader:
        assert refused(client.pacs_pull, "main") == "one-of"
        assert refused(client.pacs_pull, "main", ["1.2"], modality="CT") == "one-of"
        assert refused(client.pacs_pull, "main", patient_id="nobody") == "nothing-to-pull"
        assert refused(client.pacs_pull, "none", ["1.2"]) == "unknown-pacs"
        assert refused(client.pacs_pull_study, "main", "x") == "bad-request"
        for call in (reader.pacs_echo, reader.pacs_find, reader.pacs_sync, reader.pacs_retry):
            assert refused(call, "main") == "missing-scope"
        assert refused(client.remove_pacs, "main") == "missing-scope"
        assert refused(client.add_pacs, "main", url="http://127.0.0.1/") == "missing-scope"


def test_a_sync_brings_the_rest_and_a_failed_study_is_tried_again(beside: Beside) -> None:
    with beside.service.client("write") as client, beside.service.http("write") as http:
        report = brought(client, client.pacs_pull("main", ["1.2.3.4.5"]))
        assert report["here"] == 0
        failed = client.pacs_studies("main", status="failed").studies
        assert [one.study_instance_uid for one in failed] == ["1.2.3.4.5"]
        assert failed[0].failure is not None
        [counted] = [one for one in client.pacs().connections if one.name == "main"]
        assert counted.studies.failed == 1
        assert client.pacs_retry("main") == 1
        waiting = client.pacs_studies("main", status="waiting").studies
        assert "1.2.3.4.5" in {one.study_instance_uid for one in waiting}
        nothing = brought(client, client.pacs_sync("main", modality="CT", study_description="nothing*"))
        assert nothing["found"] == 0
        done = brought(client, client.pacs_sync("main", since="1990-01-01"))
        assert done["found"] == len(beside.held)
        assert uids(beside.held) <= {one.study_instance_uid for one in client.studies()}
        wrong = http.post("/v1/pacs/main/sync", json={"where": {"patient_id": "person-77-0"}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "bad-request")
        assert http.post("/v1/pacs/main/sync", json={"since": "2030-02-31"}).status_code == 422
        key = {"Idempotency-Key": "once"}
        same = [Job.model_validate(http.post("/v1/pacs/main/sync", headers=key).json()) for _ in range(2)]
        assert same[0].id == same[1].id
        brought(client, same[0])


def test_parameters_that_are_unknown_are_refused(beside: Beside) -> None:
    with beside.service.http() as http:
        for method, path in (
            ("GET", "/v1/pacs?x=1"),
            ("GET", "/v1/pacs/main/studies?status=lost"),
            ("GET", "/v1/pacs/main/studies?limit=0"),
            ("GET", "/v1/pacs/main/studies?cursor=%20"),
            ("POST", "/v1/pacs/main/find?patient_id=1"),
        ):
            answer = http.request(method, path, json={} if method == "POST" else None)
            assert answer.status_code == 422, path
            assert json.loads(answer.text)["code"] in ("bad-request", "bad-cursor")


def test_files_go_and_come_back(beside: Beside) -> None:
    held = beside.held[3]
    uid = held.study_instance_uid
    with beside.service.client("write") as writer:
        assert writer.wait(writer.pacs_pull("main", [uid])).status == "done"
        before = writer.study(uid)
        assert (before.files, before.came_from) == ("here", ("main",))
        released = writer.wait(writer.pacs_release("main", [uid]))
        report = ReleaseReport.model_validate(released.result)
        assert (report.studies, report.kept) == (1, 0)
        assert report.files >= held.instances, "and copies, where other tests had it sent again"
        gone = writer.study(uid)
        assert (gone.files, gone.images) == ("fetchable", before.images)
        for source in ("old", None):
            fetched = writer.wait(writer.fetch_files(uid, connection=source))
            came = FetchReport.model_validate(fetched.result)
            assert (came.files, came.instances) == ("here", held.instances if source else 0)
        assert writer.study(uid).came_from == ("old", "main")
        assert refused(writer.fetch_files, "1.2.3.4") == "unknown-study"
        assert refused(writer.fetch_files, uid, connection="unheard") == "unknown-pacs"
        assert refused(writer.pacs_release, "unheard") == "unknown-pacs"
        everything = writer.wait(writer.pacs_release("old"))
        assert ReleaseReport.model_validate(everything.result).studies >= 1
    with beside.service.client() as admin:
        actions = [one.action for one in admin.audit_events(limit=50).events]
        assert {"pacs-fetch", "pacs-release"} <= set(actions)
    left = (beside.service.home / "received").rglob("*.dcm")
    assert uid not in {pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID for path in left}
