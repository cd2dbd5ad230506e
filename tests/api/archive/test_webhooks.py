"""A listener outside is told, by signed messages: once each, again while it is away, and of no person."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

from medsiglip.api.archive import webhooks
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.webhooks import SIGNATURE, announcing_failed_sync
from medsiglip.api.errors import ServiceError
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import read_settings
from medsiglip.index.service.announcements import MOST_WAITING
from medsiglip.ingest.errors import PacsError
from tests.api.archive.pacs.certificates import Authority
from tests.api.conftest import Phantoms

SECRET = b"shared by two"


@dataclass
class Listener:
    """Keeps what it is told; `answers` are statuses to give, the last one for ever."""

    answers: list[int] = field(default_factory=lambda: [204])
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    wrap: Callable[[ssl.SSLContext], None] = lambda context: None

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append((dict(self.headers), body))
            status = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(status)
            if status == 307:
                self.send_header("Location", f"{made.url}/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"

    def wrap(context: ssl.SSLContext) -> None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)

    made.wrap = wrap
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    return file


@pytest.fixture
def archive(tmp_path: Path, listener: Listener, secret: Path) -> Iterator[Archive]:
    """A new home whose listener is told."""
    options: dict[str, Any] = {
        "webhook_url": f"{listener.url}/events?from=archive",
        "webhook_secret_file": secret,
    }
    with Archive(tmp_path / "home", **options) as opened:
        yield opened


@pytest.fixture
def radiographs(phantoms: Phantoms, tmp_path: Path) -> list[Path]:
    """The files of two studies, each in a folder of its own."""
    folders: list[Path] = []
    for path in sorted(phantoms.dicom.rglob("*.dcm")):
        header = pydicom.dcmread(path, specific_tags=["Modality", "StudyInstanceUID"])
        folder = tmp_path / "files" / header.StudyInstanceUID
        if header.Modality in ("CR", "DX") and (folder in folders or len(folders) < 2):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
            folders += [folder] if folder not in folders else []
    return folders


def announce_one(archive: Archive) -> None:
    archive.make()
    webhooks.announce(archive, "study-ingested", ["1.2"])


def tell(archive: Archive) -> Worker:
    worker = Worker(archive)
    worker.run(once=True)
    return worker


def test_new_studies_and_accepted_reports_are_told_and_signed(
    archive: Archive, listener: Listener, radiographs: list[Path]
) -> None:
    archive.ingest(radiographs)
    archive.ingest(radiographs)  # nothing new
    archive.ingest_apart({"again": radiographs[0]})
    studies = [one["study_instance_uid"] for one in archive.studies()["studies"]]
    report = archive.draft_report(studies[0], by="test", options={"neighbours": 0})["id"]
    archive.accept_report(report, by="ann")
    assert tell(archive).ended == {"done": 2}
    ingested, accepted = sorted(listener.events(), key=lambda one: one["event"], reverse=True)
    assert (ingested["event"], sorted(ingested["studies"])) == ("study-ingested", sorted(studies))
    assert (accepted["event"], accepted["studies"]) == ("report-accepted", [studies[0]])
    assert accepted["report"] == report
    assert set(ingested) == set(accepted) == {"id", "event", "at", "studies", "report", "pacs", "code"}
    for headers, body in listener.heard:
        moment, digest = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
        expected = hmac.new(SECRET, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        assert digest == expected
        assert abs(int(moment) - time.time()) < 60
        assert headers["Content-Type"] == "application/json"
    patient = pydicom.dcmread(next(radiographs[0].glob("*.dcm")))
    told = b"".join(body for _, body in listener.heard).decode()
    assert str(patient.PatientID) not in told
    assert patient.PatientName.family_name not in told


def test_a_strict_home_tells_its_own_uids(
    archive: Archive, listener: Listener, radiographs: list[Path]
) -> None:
    archive.ingest(radiographs[:1], phi="strict")
    tell(archive)
    [event] = listener.events()
    [study] = archive.studies()["studies"]
    assert event["studies"] == [study["study_instance_uid"]] != [radiographs[0].name]


def test_a_listener_that_is_away_is_told_later_with_the_same_id(archive: Archive, listener: Listener) -> None:
    announce_one(archive)
    listener.answers = [503, 429, 200]
    for status in ("queued", "queued", "done"):
        tell(archive)
        [job] = archive.index.jobs.listed()
        assert (job.status, job.attempts) == (status, int(status == "done"))
        let_wait_no_longer(archive)
    assert {one["id"] for one in listener.events()} == {job.id}
    assert len(listener.heard) == 3


def let_wait_no_longer(archive: Archive) -> None:
    from sqlalchemy import text

    with archive.index._database.write() as connection:
        connection.execute(text("UPDATE jobs SET not_before = created_at"))


@pytest.mark.parametrize(("status", "code"), [(307, "webhook-refused"), (401, "webhook-refused")])
def test_a_listener_that_refuses_or_leads_elsewhere_is_not_told_again(
    archive: Archive, listener: Listener, status: int, code: str
) -> None:
    announce_one(archive)
    listener.answers = [status]
    assert tell(archive).ended == {"failed": 1}
    [job] = archive.index.jobs.listed()
    assert (job.status, job.error and job.error["code"]) == ("failed", code)
    assert len(listener.heard) == 1


def test_nothing_is_told_of_what_was_forgotten(
    archive: Archive, listener: Listener, radiographs: list[Path]
) -> None:
    archive.ingest(radiographs)
    gone, kept = (folder.name for folder in radiographs)
    archive.forget(study=gone)
    tell(archive)
    assert [one["studies"] for one in listener.events()] == [[kept]]
    archive.ingest(radiographs[:1])
    archive.forget(study=gone)
    assert tell(archive).ended == {"done": 1}
    assert len(listener.heard) == 1


def test_a_sync_that_fails_is_told_and_one_that_waits_its_turn_is_not(
    archive: Archive, listener: Listener
) -> None:
    archive.make()
    for code in ("pacs-unreachable", "pacs-busy", "outside-hours"):
        with pytest.raises(PacsError), announcing_failed_sync(archive, "main"):
            raise PacsError(code, "It cannot be done.")
    tell(archive)
    [event] = listener.events()
    assert {name: event[name] for name in ("event", "studies", "pacs", "code")} == {
        "event": "sync-failed",
        "studies": [],
        "pacs": "main",
        "code": "pacs-unreachable",
    }


def test_a_listener_that_stays_away_fills_nothing(archive: Archive) -> None:
    announce_one(archive)
    for _ in range(3):
        many = [{"event": "sync-failed", "at": "", "cases": []}] * 500
        archive.index.announcements.add(many)
    assert archive.index.jobs.counts() == {("webhook", "queued"): MOST_WAITING}
    webhooks.announce(archive, "study-ingested", [f"1.2.{number}" for number in range(2500)])
    assert archive.index.jobs.counts() == {("webhook", "queued"): MOST_WAITING}


def test_many_studies_are_told_in_parts(archive: Archive) -> None:
    made = webhooks.announcements(archive, "study-ingested", [f"1.2.{number}" for number in range(2500)])
    assert [len(one["cases"]) for one in made.parameters] == [1000, 1000, 500]


def test_without_an_address_nothing_is_told(tmp_path: Path, radiographs: list[Path]) -> None:
    with Archive(tmp_path / "home") as archive:
        archive.ingest(radiographs[:1])
        assert archive.index.jobs.listed() == []


@pytest.mark.parametrize("content", [None, b"", b" \n", b"x" * 4097])
def test_a_message_without_a_secret_is_not_sent(
    archive: Archive, listener: Listener, secret: Path, content: bytes | None
) -> None:
    announce_one(archive)
    secret.unlink() if content is None else secret.write_bytes(content)
    assert tell(archive).ended == {"failed": 1}
    [job] = archive.index.jobs.listed()
    assert job.error is not None
    assert job.error["code"] == "webhook-secret"
    assert listener.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "ris.example",
        "ftp://ris.example",
        "http://ann:word@ris.example",
        "https://a b",
        "https://",
        "x" * 9000,
    ],
)
def test_an_address_that_cannot_be_used_is_a_bad_setting(url: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as refused:
        read_settings(home=tmp_path, webhook_url=url)
    assert refused.value.code == "bad-setting"


def test_a_listener_that_never_ends_its_answer_holds_nobody(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(webhooks, "_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        archive.settings = archive.settings.model_copy(
            update={"webhook_url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        )
        announce_one(archive)
        assert tell(archive).ended == {"failed": 1}
    [job] = archive.index.jobs.listed()
    assert (job.status, job.error and job.error["code"]) == ("queued", "webhook-unreachable")


def test_a_listener_shows_a_certificate_that_this_machine_trusts(
    archive: Archive, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.sign("listener")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    listener.wrap(context)
    url = listener.url.replace("http:", "https:")
    archive.settings = archive.settings.model_copy(update={"webhook_url": url})
    announce_one(archive)
    assert tell(archive).ended == {"failed": 1}
    [job] = archive.index.jobs.listed()
    assert (job.status, job.error and job.error["code"]) == ("queued", "webhook-unreachable")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    let_wait_no_longer(archive)
    assert tell(archive).ended == {"done": 1}
    assert len(listener.heard) == 1
