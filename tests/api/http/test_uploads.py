"""Malicious and aborted uploads: clear answers, no failure of the service, and no files left behind."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from medsiglip.api.http.multipart import safe_name
from medsiglip.client.client import Client
from tests.api.live_service import LiveService
from tests.waiting import eventually


@pytest.fixture
def client(service: LiveService) -> Iterator[Client]:
    with service.client() as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_left(service: LiveService) -> Iterator[None]:
    """A test must leave no folder of an upload behind once its jobs have ended."""
    with service.http() as http:

        def no_job_runs() -> bool:
            jobs = http.get("/v1/jobs").json()["jobs"]
            return all(one["status"] not in ("queued", "running") for one in jobs)

        eventually(no_job_runs)
        before = service.left_over()
        yield
        eventually(no_job_runs)
        eventually(lambda: set(service.left_over()) <= set(before), 10)


def png(seed: int) -> bytes:
    written = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def ingest(service: LiveService, client: Client, name: str, content: bytes) -> dict[str, Any]:
    """The report of the ingest of one uploaded file."""
    with service.http("write") as http:
        answer = http.post("/v1/ingest", files={"file": (name, content)})
        assert answer.status_code == 202, answer.text
    with service.client("write") as writer, pytest.MonkeyPatch.context():
        job_id = answer.json()["id"]
        for state in client.events(job_id):
            last = state
        del writer
    assert last.status == "done", last.error
    found: dict[str, Any] = last.result
    return found


NAMES = [
    "../../evil.png",
    "/etc/evil.png",
    "..\\..\\evil.png",
    "a\0b.png",
    ".hidden.png",
    "x" * 3000 + ".png",
    "..",
]


@pytest.mark.parametrize("name", [*NAMES, "C:\\x\\y.png", "", "  ", "\u202egnp.exe", "é" * 200])
def test_a_client_s_file_name_is_never_a_path(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert safe not in ("", ".", "..")
    assert len(safe.encode()) <= 255
    assert "\0" not in safe


def test_names_with_dots_and_slashes_stay_in_the_folder_of_the_upload(service: LiveService) -> None:
    outside = set(service.home.rglob("*evil*"))
    with service.http("read") as http:
        for name in NAMES[:3]:
            answer = http.post("/v1/classify", files={"file": (name, png(1))}, data={"labels": "a,b"})
            assert answer.status_code == 200, answer.text
    assert set(service.home.rglob("*evil*")) == outside
    assert not Path("/etc/evil.png").exists()


def test_zip_bombs_are_refused(service: LiveService, client: Client) -> None:
    zeros = b"\0" * (64 << 20)
    report = ingest(service, client, "bomb.zip", zipped({f"{n}.dcm": zeros for n in range(20)}))
    assert (report["embedded"], {one["code"] for one in report["quarantined"]}) == (
        0,
        {"archive-too-large"},
    )
    inner = zipped({"a.png": png(2)})
    for _ in range(6):
        inner = zipped({"in.zip": inner})
    report = ingest(service, client, "nested.zip", inner)
    assert (report["embedded"], len(report["quarantined"])) == (0, 1)


def test_zip_members_stay_in_the_folder_of_the_upload(service: LiveService, client: Client) -> None:
    marks = set(service.home.rglob("*climber*"))
    report = ingest(service, client, "climb.zip", zipped({"../../../climber.txt": b"x"}))
    assert report["embedded"] == 0
    assert set(service.home.rglob("*climber*")) == marks


@pytest.mark.long(every=3)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<html><script>alert(1)</script></html>"),
        ("program.exe", b"MZ" + bytes(1000)),
        ("empty.dcm", b""),
        ("not.dcm", b"plain words"),
        ("half.png", png(3)[:200]),
        ("half.zip", zipped({"a.png": png(4)})[:60]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",  # a zip holds the time at which it was made
)
def test_files_of_wrong_types_are_in_the_report(
    service: LiveService, client: Client, name: str, content: bytes
) -> None:
    report = ingest(service, client, name, content)
    lines = report["skipped"] + report["quarantined"]
    assert len(lines) == 1
    line = lines[0]
    assert line["path"] == name
    assert report["embedded"] == 0
    with service.http("read") as http:
        answer = http.post("/v1/search", files={"file": (name, content)})
    assert answer.status_code == 422
    assert answer.json()["code"] == line["code"]
    assert str(service.home) not in answer.text


def raw(service: LiveService, head: str, body: bytes, *, close: bool, wait: float = 15) -> bytes:
    """What the server answers to bytes on a socket."""
    place = urlsplit(service.url)
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=wait) as line:
        line.sendall(head.replace("\n", "\r\n").encode() + body)
        if close:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
        return answer


def head(service: LiveService, *more: str) -> str:
    lines = [
        "POST /v1/ingest HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {service.keys['write']}",
        "Content-Type: multipart/form-data; boundary=b",
        "Connection: close",
    ]
    return "\n".join([*lines, *more]) + "\n\n"


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'


def test_an_aborted_upload_leaves_no_files(service: LiveService) -> None:
    for _ in range(5):
        raw(service, head(service, "Content-Length: 100000"), PART + b"x" * 5000, close=True)
    with service.http() as http:
        assert http.get("/healthz").status_code == 200


def test_an_incomplete_body_is_refused(service: LiveService) -> None:
    answer_bytes = raw(
        service, head(service, f"Content-Length: {len(PART) + 10}"), PART + b"x" * 10, close=False
    )
    assert b" 400 " in answer_bytes.split(b"\r\n")[0]
    assert b"upload-incomplete" in answer_bytes


def test_an_idle_upload_is_refused(service: LiveService) -> None:
    begun = time.monotonic()
    answer_bytes = raw(service, head(service, "Content-Length: 100000"), PART + b"x", close=False, wait=30)
    assert b" 408 " in answer_bytes.split(b"\r\n")[0]
    assert b"upload-too-slow" in answer_bytes
    assert time.monotonic() - begun < 25, "the limit of this server is two seconds"


def test_a_slow_upload_is_refused(service: LiveService) -> None:
    place = urlsplit(service.url)
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=15) as line:
        line.sendall(head(service, "Transfer-Encoding: chunked").replace("\n", "\r\n").encode())
        line.sendall(f"{len(PART):x}\r\n".encode() + PART + b"\r\n")
        answer = b""
        line.settimeout(0.2)
        for _ in range(200):
            try:
                line.sendall(b"1\r\nx\r\n")
                answer += line.recv(4096)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert b" 408 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("multipart/form-data", PART, 415, "wrong-content-type"),
        ("multipart/form-data; boundary=" + "b" * 10_000, PART, 400, "bad-multipart"),
        ("multipart/form-data; boundary=b", b"no part at all", 400, "bad-multipart"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nz\r\n--b--",
            400,
            "bad-multipart",
        ),
        (
            "multipart/form-data; boundary=b",
            PART.replace(b'"file"', b'"other"') + b"x\r\n--b--",
            422,
            "unknown-field",
        ),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 422, "one-of"),
        ("text/plain", b"x", 415, "wrong-content-type"),
        ("application/json", b"{", 422, "bad-request"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            400,
            "bad-multipart",
        ),
    ],
)
def test_invalid_multipart_bodies_are_refused(
    service: LiveService, content_type: str, body: bytes, status: int, code: str
) -> None:
    with service.http("write") as http:
        answer = http.post("/v1/ingest", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_many_small_parts_are_counted(service: LiveService) -> None:
    body = b"".join(PART + b"x\r\n" for _ in range(10_000)) + b"--b--\r\n"
    with service.http("write") as http:
        answer = http.post(
            "/v1/ingest", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert (answer.status_code, answer.json()["code"]) == (413, "too-many-files")


def test_an_upload_that_announces_too_much_is_refused_at_once(service: LiveService) -> None:
    answer_bytes = raw(service, head(service, f"Content-Length: {1 << 40}"), PART, close=False)
    assert b" 413 " in answer_bytes.split(b"\r\n")[0]
    assert json.loads(answer_bytes.partition(b"\r\n\r\n")[2])["code"] == "upload-too-large"


def test_memory_does_not_grow_with_the_body(service: LiveService) -> None:
    process = psutil.Process(service.process_id)
    with service.http("read") as http:
        http.post("/v1/search", files={"file": ("a.dcm", b"x" * 100)})
        before = process.memory_info().rss
        peak = before

        def body() -> Iterator[bytes]:
            nonlocal peak
            yield PART
            for number in range(200):
                yield b"\0" * (1 << 20)
                if number % 10 == 0:
                    peak = max(peak, process.memory_info().rss)
            yield b"\r\n--b--\r\n"

        answer = http.post(
            "/v1/search", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert answer.status_code == 422
    assert peak - before < 50 << 20, "200 MiB were sent"


def test_the_service_still_works_afterwards(service: LiveService) -> None:
    answer = httpx.get(f"{service.url}/readyz", timeout=60)
    eventually(lambda: httpx.get(f"{service.url}/readyz", timeout=60).status_code == 200)
    assert answer.status_code in (200, 503)
