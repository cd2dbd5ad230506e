"""Services that answer too much, too slowly, something else, or not to the end."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsInstance, PacsQuery, PacsStudy
from medsiglip.ingest.pacs.web import http_exchange
from tests.ingest.pacs.instances import instance
from tests.ingest.pacs.scripted_service import Request, connection, instance_row, service, study_row

Script = Callable[[Request], None]


def refusal(script: Script, use: Callable[[DicomwebClient], Any], **options: Any) -> PacsError:
    """The error that the use of a service ends with."""
    with (
        service(script) as url,
        DicomwebClient(connection(url, **options)) as client,
        pytest.raises(PacsError) as refused,
    ):
        use(client)
    return refused.value


def find(client: DicomwebClient) -> list[PacsStudy]:
    return list(client.studies(PacsQuery(patient_name="Doe^Jane", patient_id="4711")))


def endless(request: Request) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/dicom+json")
    request.end_headers()
    while True:
        request.wfile.write(b"[" + b" " * (1 << 20))


def dribbling(request: Request) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/dicom+json")
    request.end_headers()
    while True:
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.1)


def compressed(request: Request) -> None:
    request.give(200, gzip.compress(b" " * (1 << 20)), Content_Encoding="gzip")


def to_itself(request: Request) -> None:
    request.give(302, Location=request.path)


def deep(request: Request) -> None:
    request.give(200, b"[" * 500_000 + b"]" * 500_000, Content_Type="application/dicom+json")


@pytest.mark.parametrize(
    ("script", "code", "may_pass"),
    [
        (endless, "pacs-bad-answer", False),
        (dribbling, "pacs-timeout", True),
        (compressed, "pacs-bad-answer", False),
        (deep, "pacs-bad-answer", False),
        (to_itself, "pacs-bad-answer", False),
        (lambda request: time.sleep(3), "pacs-timeout", True),
        (lambda request: request.wfile.write(b"220 mail ready\r\n\r\n"), "pacs-unreachable", True),
        (lambda request: request.connection.shutdown(2), "pacs-unreachable", True),
        (
            lambda request: request.give(200, b"<html>Sign in</html>", Content_Type="text/html"),
            *("pacs-bad-answer", False),
        ),
        (lambda request: request.give_json({"a": 1}), "pacs-bad-answer", False),
        (lambda request: request.give_json([1, 2]), "pacs-bad-answer", False),
        (lambda request: request.give(200, b'[{"a": ' + b"9" * 5000 + b"}]"), "pacs-bad-answer", False),
        (lambda request: request.give(200, b'["\xff"]'), "pacs-bad-answer", False),
        (lambda request: request.give(404), "pacs-failed", False),
        (lambda request: request.give(400), "pacs-failed", False),
        (lambda request: request.give(401), "pacs-refused", False),
        (lambda request: request.give(403), "pacs-refused", False),
        (lambda request: request.give(429, Retry_After="7"), "pacs-failed", True),
        (lambda request: request.give(503), "pacs-failed", True),
        (lambda request: request.give(500), "pacs-failed", True),
        (lambda request: request.give(502), "pacs-failed", True),
        (lambda request: request.give(501), "pacs-failed", False),
    ],
)
def test_questions_end_with_a_reason(script: Script, code: str, may_pass: bool) -> None:
    error = refusal(script, find, timeout_seconds=1.0 if code == "pacs-timeout" else 30.0)
    assert (error.code, error.may_pass) == (code, may_pass)
    assert "scripted" in str(error)
    for private in ("Doe", "4711", "http:", "127.0.0.1"):
        assert private not in str(error)


def endless_headers(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.wfile.write(b"X-More: yes\r\n")
        time.sleep(0.1)


def endless_promises(request: Request) -> None:
    while True:
        request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("script", [endless_headers, endless_promises])
def test_answers_that_do_not_begin_are_left(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "PATIENCE", 0.3)
    begun = time.monotonic()
    assert refusal(script, find, timeout_seconds=1.0).code == "pacs-timeout"
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999999999999999999", 3600, 3600),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 3600, 3600),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("soon", None, None),
        ("-1", None, None),
        ("1" * 5000, 3600, 3600),
    ],
)
def test_busy_services_say_when_to_come_again(value: str, least: float | None, most: float | None) -> None:
    error = refusal(lambda request: request.give(503, Retry_After=value), find)
    if least is None or most is None:
        assert error.retry_after is None
    else:
        assert error.retry_after is not None
        assert least <= error.retry_after <= most


@pytest.mark.parametrize(
    "uid", [17, None, {"Alphabetic": "x"}, "", "../../instances", "1.2/3", "1" * 65, "..", ["1"]]
)
def test_what_has_no_uid_is_left_out(uid: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = [study_row(uid), study_row("1.2.3"), {}, {"0020000D": "1.2"}, {"0020000D": {"Value": "1.2"}}]
    kept = ["17", "1.2.3"] if uid == 17 else ["1.2.3"]  # a number is what some make of a text
    with (
        service(lambda request: request.give_json(rows if request.asked["offset"] == ["0"] else [])) as url,
        DicomwebClient(connection(url)) as client,
    ):
        assert [one.study_instance_uid for one in find(client)] == kept
        assert client.instances("1.2.3") == []
    assert "without a usable UID" in caplog.text


def test_values_of_any_form_are_no_error() -> None:
    odd: list[Any] = [None, True, 1.5, [], {}, {"Alphabetic": 3}, "x" * 5000, "\0"]
    for value in odd:
        row = study_row("1.2.3")
        for tag in ("00100010", "00100020", "00080020", "00080061", "00201206", "00201208"):
            row[tag] = {"Value": [value]}
        with (
            service(partial(Request.give_json, value=[row])) as url,
            DicomwebClient(connection(url)) as client,
        ):
            (found,) = find(client)
        assert len(found.patient_name) <= 1024
        assert found.instances is None


def test_texts_hold_nothing_that_a_screen_obeys() -> None:
    name = "Doe\x1b[2J^\u202eJane\ud800\r\n=\u5c71\u3000\u7530=\u06cc\u200c\u0627"
    row = study_row("1.2.3", **{"00100020": {"vr": "LO", "Value": [" 4711\x9b\0"]}})
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=True))
    for value in (name, groups):
        row["00100010"] = {"vr": "PN", "Value": [value]}
        with (
            service(partial(Request.give_json, value=[row])) as url,
            DicomwebClient(connection(url)) as client,
        ):
            [found] = client.studies(PacsQuery(limit=1))
        assert found.patient_name == "Doe[2J^Jane=\u5c71\u3000\u7530=\u06cc\u200c\u0627"
        assert found.patient_id == "4711"


def test_an_answer_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "LARGEST_ANSWER", 10_000)
    rows = json.dumps([study_row(f"1.2.{number}") for number in range(1000)]).encode()
    error = refusal(lambda request: request.give(200, rows), find)
    assert error.code == "pacs-bad-answer"
    assert "ask for less" in str(error)


def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    asked = []

    def script(request: Request) -> None:
        asked.append(request.client_address)
        if len(asked) == 2:
            request.close_connection = True  # without a word, as a service does that restarts
            return
        request.give_json([])

    with service(script) as url, DicomwebClient(connection(url)) as client:
        client.echo()
        client.echo()
    assert len(asked) == 3


FETCHED = (PacsInstance("1.2.3.4", "1.2.3.4.1"), PacsInstance("1.2.3.4", "1.2.3.4.2"))
ONE, TWO = instance("1.2.3", 1), instance("1.2.3", 2)


def fetched(script: Script, folder: Path, wanted: Any = None) -> tuple[list[bytes], PacsError | None]:
    """What came of a study before the end, and how that was."""
    came: list[bytes] = []
    error = None
    with service(script) as url, DicomwebClient(connection(url)) as client:
        try:
            came.extend(file.read_bytes() for file in client.retrieve("1.2.3", folder, wanted))
        except PacsError as refused:
            error = refused
    assert len(list(folder.iterdir())) == len(came), "what was not whole is there"
    return came, error


def cut(at: int) -> Script:
    def script(request: Request) -> None:
        parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in (ONE, TWO)]
        request.send_response(200)
        request.send_header("Content-Type", "multipart/related; boundary=b")
        request.send_header("Content-Length", str(sum(map(len, parts)) + 5))
        request.end_headers()
        request.wfile.write((b"".join(parts) + b"--b--")[:at])
        request.wfile.flush()
        request.close_connection = True

    return script


@pytest.mark.parametrize("at", [0, 10, 200, len(ONE), len(ONE) + 100, len(ONE) + len(TWO)])
def test_connections_that_are_cut_leave_whole_files(at: int, tmp_path: Path) -> None:
    came, error = fetched(cut(at), tmp_path)
    assert came == [ONE][: at > len(ONE) + 50]
    assert error is not None
    assert (error.code, error.may_pass) == ("pacs-unreachable", True)


@pytest.mark.parametrize("ends", [True, False])
def test_bodies_without_a_last_boundary(ends: bool, tmp_path: Path) -> None:
    came, error = fetched(lambda request: request.give_parts(ONE, TWO, ends=ends), tmp_path)
    assert came == ([ONE, TWO] if ends else [ONE])
    assert (error is None) == ends


@pytest.mark.parametrize(
    ("body", "kind", "count", "code"),
    [
        (b"<html>Sign in</html>", "text/html", 0, "pacs-bad-answer"),
        (b"", "multipart/related; boundary=b", 0, "pacs-bad-answer"),
        (b"nothing", "multipart/related", 0, "pacs-bad-answer"),
        (b"nothing", f"multipart/related; boundary={'b' * 5000}", 0, "pacs-bad-answer"),
        (b"--b\r\nA" + b"a" * 100_000, "multipart/related; boundary=b", 0, "pacs-bad-answer"),
        (b"--b\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", "multipart/related; boundary=b", 0, "pacs-bad-answer"),
        (
            b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--",
            "multipart/related; boundary=b",
            0,
            None,
        ),
        (b"--b\r\n\r\n<Error>" + b"x" * 5000 + b"\r\n--b--", "multipart/related; boundary=b", 0, None),
        (b"before\r\n--b\r\n\r\n" + ONE + b"\r\n--b--\r\nafter", 'multipart/related; boundary="b"', 1, None),
        (ONE, "application/dicom", 1, None),
        (b"<html>" * 100, "application/dicom", 0, None),
    ],
)
def test_bodies_of_any_form(body: bytes, kind: str, count: int, code: str | None, tmp_path: Path) -> None:
    came, error = fetched(lambda request: request.give(200, body, Content_Type=kind), tmp_path)
    assert came == [ONE] * count
    assert (error.code if error else None) == code


def test_one_instance_that_may_be_cut_is_not_taken(tmp_path: Path) -> None:
    def script(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\n\r\n" + ONE[:-500])
        request.close_connection = True

    came, error = fetched(script, tmp_path)
    assert came == []
    assert error is not None
    assert error.code == "pacs-bad-answer"


def test_instances_of_other_studies_are_not_taken(tmp_path: Path) -> None:
    came, error = fetched(lambda request: request.give_parts(instance("1.2.9", 1), ONE), tmp_path)
    assert (came, error) == ([ONE], None)
    (tmp_path / "alone").mkdir()
    came, error = fetched(lambda request: request.give_parts(instance("1.2.9", 1)), tmp_path / "alone")
    assert came == []
    assert error is not None
    assert error.code == "pacs-bad-answer"


def test_what_is_missing_is_no_error(tmp_path: Path) -> None:
    def script(request: Request) -> None:
        if request.address.endswith("1.2.3.4.1"):
            request.give_parts(ONE)
        else:
            request.give(404)

    assert fetched(script, tmp_path, FETCHED) == ([ONE], None)
    (tmp_path / "none").mkdir()
    assert fetched(lambda request: request.give(404), tmp_path / "none") == ([], None)


def test_services_that_would_transcode_are_refused(tmp_path: Path) -> None:
    came, error = fetched(lambda request: request.give(406), tmp_path)
    assert came == []
    assert error is not None
    assert "as they are stored" in str(error)


def test_operations_are_counted(tmp_path: Path) -> None:
    spent: list[int] = []
    with (
        service(lambda request: request.give_parts(ONE, TWO)) as url,
        DicomwebClient(connection(url), spent.append) as client,
    ):
        assert len(list(client.retrieve("1.2.3", tmp_path))) == 2
        assert sum(spent) == 2
        spent.clear()
        assert len(list(client.retrieve("1.2.3", tmp_path, FETCHED[:1]))) == 2
        assert sum(spent) == 2


@pytest.mark.parametrize("uid", ["", "..", "1.2/3", "1.2?x=y", "1.2\r\nX: y", "1.2#", "é", "*"])
def test_uids_that_are_none_are_not_asked_for(uid: str, tmp_path: Path) -> None:
    for use in (lambda client: client.instances(uid), lambda client: list(client.retrieve(uid, tmp_path))):
        error = refusal(lambda request: request.give_json([instance_row(1)]), use)
        assert error.code == "pacs-failed"


def test_nothing_listens_there() -> None:
    with service(lambda request: None) as url:
        pass
    with DicomwebClient(connection(url)) as client, pytest.raises(PacsError) as refused:
        client.echo()
    assert (refused.value.code, refused.value.may_pass) == ("pacs-unreachable", True)
