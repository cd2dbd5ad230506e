"""Spans as a collector receives them: one trace from a request to the commits of its job, and no patient."""

from __future__ import annotations

import builtins
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings, read_settings
from medsiglip.api.tracing.process import traced
from medsiglip.api.tracing.tracer import safe_attributes
from medsiglip.index.case_index import CaseIndex
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from medsiglip.tracing import spans
from tests.api.service_processes import Started
from tests.api.tracing.conftest import Collector
from tests.index.index_cases import unit_vectors

LOOPBACK = "http://127.0.0.1"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAME = "Marmelade"
STAGES = ["ingest walk", "ingest scan", "ingest embed"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Studies of a person whose name is in headers and paths."""
    folder = tmp_path / f"{NAME}-pictures"
    for study in make_studies(3, 11, ["skin"]):
        write_study(study, folder)
    for file in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.PatientName = f"{NAME}^Orange"
        dataset.save_as(file)
    return folder


class UnitVectors:
    """An encoder that needs no model."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return unit_vectors(len(images), dimension=self._dimension)


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def by_name(collector: Collector) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in collector.spans():
        found.setdefault(span.name, []).append(span)
    return found


def below(parent: Span, child: Span) -> bool:
    return child.parent_span_id == parent.span_id and child.trace_id == parent.trace_id


def test_one_trace_leads_from_a_request_to_the_commits_of_its_job(
    collector: Collector, pictures: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", ingest_roots=(pictures,), otlp_endpoint=collector.url)
    with traced(settings, "test"), TestClient(create_app(settings), base_url=LOOPBACK) as client:
        sent = client.post("/v1/ingest", json={"path": str(pictures)}, headers={"traceparent": PARENT})
        assert sent.status_code == 202, sent.text
        archive = client.app.state.server.archive  # type: ignore[attr-defined]
        archive.__dict__["encoder"] = UnitVectors(archive.checkpoint.dimension)
        Worker(archive).run(once=True)
        job = client.get(f"/v1/jobs/{sent.json()['id']}").json()
        assert job["status"] == "done", job
        assert client.get("/healthz").status_code == 200

    found = by_name(collector)
    (request,), (submit,), (run,) = found["POST /v1/ingest"], found["job submit"], found["job ingest"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert below(request, submit)
    assert below(submit, run)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/ingest",
        "http.response.status_code": 202,
    }
    assert attributes(run) == {"job.kind": "ingest", "job.id": job["id"], "job.attempt": 1}
    (ingest,), stages = found["ingest"], [found[name][0] for name in STAGES]
    assert below(run, ingest)
    assert all(below(ingest, stage) for stage in stages)
    begins = [stage.start_time_unix_nano for stage in (request, submit, run, *stages)]
    assert begins == sorted(begins)
    encoded, commits = found["encode"], found["commit"]
    assert all(below(stages[-1], one) for one in (*encoded, *commits))
    assert sum(attributes(one)["images"] for one in encoded) == job["result"]["embedded"] == 3
    assert sum(attributes(one).get("images", 0) for one in commits) == 3
    assert request.kind == Span.SPAN_KIND_SERVER
    assert submit.kind == Span.SPAN_KIND_PRODUCER
    assert run.kind == Span.SPAN_KIND_CONSUMER
    (asked,) = found["GET /v1/jobs/{job_id}"]
    assert asked.trace_id != request.trace_id
    assert not any("healthz" in name for name in found)
    assert collector.services() == {"medsiglip-test"}
    uids = {pydicom.dcmread(file).StudyInstanceUID for file in pictures.rglob("*.dcm")}
    for body in collector.bodies:
        assert not [word for word in (NAME, "Orange", *uids, str(pictures)) if word.encode() in body]


def test_errors_are_codes_without_messages(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> dict[str, Any]:
        raise ServiceError("disk-full", f"no room for {NAME}")

    monkeypatch.setitem(HANDLERS, "failing", fail)
    monkeypatch.setattr("medsiglip.api.errors.LONGEST_WAIT_S", 0.0)
    settings = Settings(home=tmp_path / "home", otlp_endpoint=collector.url)
    with traced(settings, "test"), Archive.from_settings(settings) as archive:
        archive.make()
        archive.index.jobs.submit("failing", {})
        archive.index.jobs.submit("failing", {"traceparent": "not one"})
        Worker(archive).run(once=True)
        with pytest.raises(ZeroDivisionError), spans.span("commit", images="Marmelade", files=2):
            raise ZeroDivisionError(NAME)
    found = by_name(collector)
    (commit,) = found["commit"]
    assert attributes(commit) == {"files": 2, "error.type": "ZeroDivisionError"}
    assert len(found["job failing"]) == 10  # each attempt, each a trace of its own
    assert len({one.trace_id for one in found["job failing"]}) == 10
    assert [attributes(one)["error.type"] for one in found["job failing"]] == ["disk-full"] * 10
    assert {one.status.code for spans_ in found.values() for one in spans_} == {Status.STATUS_CODE_ERROR}
    assert not any(one.events for spans_ in found.values() for one in spans_)
    assert not any(NAME.encode() in body for body in collector.bodies)


def test_jobs_that_a_job_submits_are_within_it(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outer(archive: Archive, _run: object) -> dict[str, Any]:
        archive.index.jobs.submit("inner", {})
        return {}

    monkeypatch.setitem(HANDLERS, "outer", outer)
    monkeypatch.setitem(HANDLERS, "inner", lambda *_: {})
    settings = Settings(home=tmp_path / "home", otlp_endpoint=collector.url)
    with traced(settings, "test"), Archive.from_settings(settings) as archive:
        archive.make()
        archive.index.jobs.submit("outer", {})
        Worker(archive).run(once=True)
    found = by_name(collector)
    assert below(found["job outer"][0], found["job inner"][0])


def test_a_part_of_the_traces_is_recorded_and_a_caller_s_decision_is_kept(
    collector: Collector, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, otlp_endpoint=collector.url, trace_ratio=0.0)
    with traced(settings, "test"):
        for flags in ("00", "01"):
            with spans.span("encode", parent=PARENT[:-2] + flags):
                assert spans.traceparent() is not None
        with spans.span("commit"):
            pass
    assert [span.name for span in collector.spans()] == ["encode"]


def test_an_outage_of_the_collector_is_logged_once_and_changes_nothing(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medsiglip.api.tracing.exporting.EXPORT_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    collector.refusing = True
    with traced(Settings(home=tmp_path, otlp_endpoint=collector.url), "test"):
        for _ in range(600):  # more than one delivery
            with spans.span("encode", images=1):
                pass
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert f"127.0.0.1:{collector.server_port}" in lines[0]
    assert collector.bodies == []


def test_it_is_off_without_a_collector(tmp_path: Path) -> None:
    with traced(Settings(home=tmp_path), "test"), spans.span("encode", images=1) as nothing:
        nothing.note(images=2)
        nothing.link(PARENT)
        assert spans.traceparent() is None
        with CaseIndex.open(tmp_path / "home") as index:
            assert "traceparent" not in index.jobs.submit("ingest", {"paths": []}).parameters


def test_without_opentelemetry_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith(("opentelemetry", "medsiglip.api.tracing.exporting")):
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    settings = Settings(home=tmp_path, otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(ServiceError, match=r"medsiglip\[tracing\]") as caught, traced(settings, "test"):
        pass
    assert caught.value.code == "no-tracing"


@pytest.mark.parametrize(
    "wrong", ["127.0.0.1:4318", "http://user:secret@collector:4318", "ftp://collector", "http://c/ x"]
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ServiceError, match="otlp-endpoint") as caught:
        read_settings(home=tmp_path, otlp_endpoint=wrong)
    assert caught.value.code == "bad-setting"


def test_attributes_outside_the_table_are_dropped() -> None:
    given: dict[str, spans.Value] = {
        "patient": "Doe",
        "job__kind": "pacs-pull",
        "job__id": "Doe^Jane",
        "http__route": "/v1/studies/{uid}",
        "images": 3,
        "files": "three",
    }
    kept = {"job.kind": "pacs-pull", "http.route": "/v1/studies/{uid}", "images": 3}
    assert safe_attributes(given) == kept


@pytest.fixture
def environment(collector: Collector) -> dict[str, str]:
    return {"MEDSIGLIP_OTLP_ENDPOINT": collector.url, "MEDSIGLIP_INGEST_ROOTS": "/"}


@pytest.mark.long
def test_a_server_and_a_worker_of_their_own_send_one_trace(
    collector: Collector, environment: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    import httpx

    home = tmp_path / "home"
    server = Started(home, ("serve", "--port", "0", "--no-worker"), environment=environment)
    try:
        url = server.answer()["url"]
        sent = httpx.post(f"{url}/v1/ingest", json={"path": str(pictures)}, timeout=60)
        assert sent.status_code == 202
        worker = Started(home, ("worker", "--once"), environment=environment)
        try:
            assert worker.answer()["jobs"] == {"done": 1}
            assert worker.process.wait(30) == 0
        finally:
            worker.end()
    finally:
        server.process.terminate()
        code = server.process.wait(30)
        server.end()
    assert code == 0, server.log.read_text()
    assert collector.services() == {"medsiglip-api", "medsiglip-worker"}
    found = by_name(collector)
    assert below(found["job submit"][0], found["job ingest"][0])
    assert len({found[name][0].trace_id for name in ("POST /v1/ingest", "job ingest", "commit")}) == 1
    logged = [json.loads(line) for line in server.log.read_text().splitlines()]
    traced_ids = [line["trace_id"] for line in logged if line.get("route") == "/v1/ingest"]
    assert traced_ids == [found["POST /v1/ingest"][0].trace_id.hex()]
