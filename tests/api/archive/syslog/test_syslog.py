"""The audit trail at a syslog receiver: whole, in order, each event once, and the service never waits."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.syslog import forwarding as forwarding_module
from medsiglip.api.archive.syslog.delivery import Receiver
from medsiglip.api.archive.syslog.forwarding import PORTION, Forwarder, forwarding
from medsiglip.api.archive.syslog.message import STUDIES_IN_ONE, messages
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings, read_settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.audit_log import AuditEvent, ChainedEvent
from tests.api.archive.syslog.receivers import (
    RSYSLOGD,
    Rsyslog,
    free_port,
    running_rsyslog,
    small_receiver,
)
from tests.api.conftest import run

_FIELD = re.compile(r'([a-z-]+)="((?:[^"\\\]]|\\["\\\]])*)"')
TRICKY = 'a "quoted" ]bracket\\ and a\nline, Ärztin 医'


def fields(structured: str) -> dict[str, str]:
    """Names and values of RFC 5424 structured data, by its grammar (section 6.3)."""
    matched = re.fullmatch(rf"\[medsiglip@32473((?: {_FIELD.pattern})+)\]", structured)
    assert matched is not None, structured
    return {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in _FIELD.findall(matched[1])}


def parsed(message: bytes) -> dict[str, str]:
    """The structured data of a whole message."""
    found = re.fullmatch(
        r"<110>1 \S+ \S+ medsiglip [0-9]+ \S+ (\[.*\]) \ufeff.*", message.decode(), re.DOTALL
    )
    assert found is not None, message
    return fields(found[1])


def add(index: CaseIndex, count: int, **details: Any) -> None:
    index.audit.append([AuditEvent("a1b2", "view", (f"1.2.{number}",), details) for number in range(count)])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(tmp_path / "home", create=True) as made:
        yield made


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rsyslog]:
    if RSYSLOGD is None:
        pytest.skip("rsyslogd is not here")
    with running_rsyslog(tmp_path_factory.mktemp("rsyslog")) as made:
        yield made


def test_rsyslog_reads_every_field(index: CaseIndex, rsyslog: Rsyslog) -> None:
    studies = tuple(f"1.2.840.{number:050}" for number in range(STUDIES_IN_ONE * 2 + 1))
    long = {"what": "x" * 3000}
    index.audit.append(
        [
            AuditEvent("local:anna", "export", studies, {"out": TRICKY}, "request-1"),
            AuditEvent("a1b2", "search", (), long),
        ]
    )
    before = len(rsyslog.received(0))
    assert Forwarder(index, f"tcp://127.0.0.1:{rsyslog.tcp}").forward() == 2
    received = rsyslog.received(before + 4)[before:]
    assert len(received) == 4
    assert {(one["pri"], one["version"], one["program"]) for one in received} == {("110", "1", "medsiglip")}
    first, second = index.audit.events()
    told = [fields(one["structured"]) for one in received]
    assert [one.get("part") for one in told] == ["1/3", "2/3", "3/3", None]
    assert " ".join(one["studies"] for one in told[:3]).split() == list(studies)
    assert [one["id"] for one in received] == ["export"] * 3 + ["search"]
    assert {one["hash"] for one in told} == {first.hash, second.hash}
    assert told[0]["request"] == "request-1"
    assert told[0]["actor"] == "local:anna"
    assert json.loads(told[0]["details"]) == {"out": TRICKY}
    assert int(told[3]["details-bytes"]) == len('{"what":""}') + 3000
    assert len(told[3]["details"]) == 500
    assert index.audit.verify().ok


def test_datagrams_come_to_rsyslog(index: CaseIndex, rsyslog: Rsyslog) -> None:
    add(index, 5)
    before = len(rsyslog.received(0))
    assert Forwarder(index, f"udp://127.0.0.1:{rsyslog.udp}").forward() == 5
    told = [fields(one["structured"]) for one in rsyslog.received(before + 5)[before:]]
    assert [one["sequence"] for one in told] == ["1", "2", "3", "4", "5"]


def test_every_message_fits_what_a_receiver_should_take() -> None:
    studies = tuple(f"1.2.840.{number:056}" for number in range(1000))
    event = AuditEvent(
        "ü" * 200, "view", studies, {"note": '"\\]' * 1000}, "r" * 64, "2026-01-01T00:00:00+00:00"
    )
    one = ChainedEvent(2**60, event, "0" * 64, "f" * 64)
    written = list(messages(one, "h" * 300, "123456"))
    assert max(map(len, written)) <= 4096
    assert [uid for message in written for uid in parsed(message)["studies"].split()] == list(studies)


def test_each_event_is_sent_once_over_portions_and_processes(index: CaseIndex) -> None:
    add(index, PORTION + 7)
    with small_receiver() as receiver:
        url = f"tcp://127.0.0.1:{receiver.port}"
        one, other = Forwarder(index, url), Forwarder(index, url)
        assert (one.forward(), other.forward(), one.forward(), other.forward()) == (PORTION, 7, 0, 0)
        add(index, 1)
        assert other.forward() == 1
    sequences = [int(parsed(message)["sequence"]) for message in receiver.messages()]
    assert sequences == list(range(1, PORTION + 9))


def test_what_a_receiver_did_not_read_is_sent_again(index: CaseIndex) -> None:
    add(index, 300)
    with small_receiver() as receiver:
        forwarder = Forwarder(index, f"tcp://127.0.0.1:{receiver.port}")
        receiver.dies_after = 20_000
        with pytest.raises(OSError, match=r"reset|connected|pipe"):
            forwarder.forward()
        receiver.dies_after = None
        assert forwarder.forward() == 300
    add(index, 1)
    with pytest.raises(ConnectionRefusedError):
        forwarder.forward()
    assert [int(parsed(one)["sequence"]) for one in receiver.messages()] == list(range(1, 301))
    assert index.audit_positions.position(forwarder.position_name) == 300


def test_a_process_that_is_killed_before_it_noted_a_portion_sends_it_again(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(index, 3)
    with small_receiver() as receiver:
        url = f"tcp://127.0.0.1:{receiver.port}"
        positions = type(index.audit_positions)
        with monkeypatch.context() as patched:
            patched.setattr(positions, "move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            patched.setattr(positions, "release", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                Forwarder(index, url, lease=timedelta(seconds=0.2)).forward()
        assert Forwarder(index, url).forward() == 0  # held by the one that was killed
        time.sleep(0.25)
        assert Forwarder(index, url).forward() == 3
    assert [int(parsed(one)["sequence"]) for one in receiver.messages()] == [1, 2, 3, 1, 2, 3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, in one file."""
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=syslog"
    named = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", f"{file}.crt", "-keyout", f"{file}.key"]
    subprocess.run([*words.split(), *named], check=True, capture_output=True)
    file.write_bytes(Path(f"{file}.crt").read_bytes() + Path(f"{file}.key").read_bytes())
    return file


def test_a_receiver_is_known_by_its_certificate(
    index: CaseIndex, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    add(index, 4)
    with small_receiver(context) as receiver:
        forwarder = Forwarder(index, f"tls://127.0.0.1:{receiver.port}")
        with pytest.raises(ssl.SSLCertVerificationError):
            forwarder.forward()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert forwarder.forward() == 4
    assert [int(parsed(one)["sequence"]) for one in receiver.messages()] == [1, 2, 3, 4]


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("count", [1, PORTION])
def test_a_receiver_that_refuses_this_service_has_received_nothing(
    index: CaseIndex, certificate: Path, monkeypatch: pytest.MonkeyPatch, highest: ssl.TLSVersion, count: int
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = highest
    context.verify_mode = ssl.CERT_REQUIRED  # of a certificate that this service does not show
    context.load_verify_locations(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    add(index, count)
    with small_receiver(context) as receiver:
        forwarder = Forwarder(index, f"tls://127.0.0.1:{receiver.port}")
        for _ in range(3):
            with pytest.raises(OSError, match=r"[Hh]andshake|HANDSHAKE|reset"):
                forwarder.forward()
    assert receiver.messages() == []
    assert index.audit_positions.position(forwarder.position_name) == 0


def test_a_receiver_that_reads_nothing_holds_no_portion_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        receiver = Receiver("tcp", "127.0.0.1", int(frozen.getsockname()[1]))
        with pytest.raises(TimeoutError):
            receiver.deliver([b"x" * 1_000_000] * 30, seconds=0.2)


def test_another_receiver_gets_the_trail_from_its_beginning(index: CaseIndex) -> None:
    add(index, 3)
    with small_receiver() as one, small_receiver() as other:
        assert Forwarder(index, f"tcp://127.0.0.1:{one.port}").forward() == 3
        add(index, 1)
        assert Forwarder(index, f"tcp://127.0.0.1:{other.port}").forward() == 4
        assert Forwarder(index, f"tcp://127.0.0.1:{one.port}").forward() == 1
    assert [len(one.messages()), len(other.messages())] == [4, 4]


def test_the_thread_goes_on_after_any_error(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(index, 2)
    forward, tries = Forwarder.forward, []

    def spoilt(self: Forwarder) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("of an event: ANNA")
        return forward(self)

    monkeypatch.setattr(Forwarder, "forward", spoilt)
    monkeypatch.setattr(forwarding_module, "_LOOK_SECONDS", 0.05)
    with small_receiver() as receiver, forwarding(index, f"tcp://127.0.0.1:{receiver.port}"):
        until = time.monotonic() + 20
        while len(receiver.messages()) < 2 and time.monotonic() < until:
            time.sleep(0.02)
    assert [int(parsed(one)["sequence"]) for one in receiver.messages()] == [1, 2]
    assert "ValueError" in caplog.text
    assert "ANNA" not in caplog.text


@pytest.mark.long
def test_the_service_answers_while_the_receiver_is_away_and_sends_all_later(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path / "home", audit_syslog=f"tcp://127.0.0.1:{port}")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        for _ in range(3):
            assert client.get("/v1/audit/events").status_code == 200
        with small_receiver(port=port) as receiver:
            until = time.monotonic() + 20
            while len(receiver.messages()) < 3 and time.monotonic() < until:
                time.sleep(0.05)
    assert [parsed(one)["action"] for one in receiver.messages()] == ["audit-export"] * 3


def test_the_command_sends_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    run("--home", home, "keys", "create", "x", "--scopes", "read")
    refused = run("--home", home, "--json", "audit", "forward")
    assert refused.code != 0
    assert "no-receiver" in refused.out + refused.err
    with small_receiver() as receiver:
        monkeypatch.setenv("MEDSIGLIP_AUDIT_SYSLOG", f"tcp://127.0.0.1:{receiver.port}")
        answer = run("--home", home, "--json", "audit", "forward").json
        assert (answer["events"], answer["sequence"]) == (1, 1)
        with CaseIndex.open(home) as other:  # holds the receiver, as a running service does
            name = Forwarder(other, f"tcp://127.0.0.1:{receiver.port}").position_name
            add(other, 1)
            assert other.audit_positions.take(name, "another", timedelta(minutes=1)) == 1
        busy = run("--home", home, "--json", "audit", "forward")
        assert busy.code != 0
        assert "receiver-busy" in busy.out + busy.err
    assert [parsed(one)["action"] for one in receiver.messages()] == ["create-key"]


@pytest.mark.parametrize(
    "url", ["tcp://host", "http://host:1", "tcp://host:99999", "tcp://u@host:1", "tcp://host:1/x"]
)
def test_a_receiver_that_cannot_be_meant_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ServiceError, match=r"audit[-_]syslog") as raised:
        read_settings(None, home=tmp_path, audit_syslog=url)
    assert raised.value.code == "bad-setting"
