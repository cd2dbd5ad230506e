"""Who may open an association, how many, with TLS or without; and senders that mean no good."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_VERSION_NAME
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving import server
from medsiglip.ingest.receiving.listening import bind
from medsiglip.ingest.receiving.negotiation import VERIFICATION, is_allowed, is_storage, read_proposal
from medsiglip.ingest.receiving.options import (
    ReceiverOptions,
    Receiving,
    TlsFiles,
    allowed_sender,
    known_peer,
)
from medsiglip.ingest.receiving.refusals import MINUTE, Refusals
from medsiglip.ingest.receiving.server import tls_context
from medsiglip.ingest.receiving.upper_layer import ProtocolError
from tests.api.archive.pacs.certificates import Authority
from tests.ingest.receiving.receivers import AE_TITLE, RunningReceiver, associated, run_dcmtk, store
from tests.ingest.receiving.slices import CT, IMPLICIT, SYNTAX, ct, encoded
from tests.waiting import eventually

# pynetdicom leaves the socket of a connection that ends early to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

VERSION = IMPLEMENTATION_VERSION_NAME.encode()
CONTEXTS = [(CT, SYNTAX), (VERIFICATION, IMPLICIT)]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """A receiver that takes from few, for a short time each, and in two processes."""
    options: dict[str, Any] = {
        "allowed": ["CT1", "CT2@127.0.0.0/8", "CT3@10.1.0.0/16", "CT4@localhost", "CT5@ct5.invalid"],
        "associations": 3,
        "associations_of_one": 2,
        "acse_seconds": 2.0,
        "idle_seconds": 3.0,
        "network_seconds": 1.0,
        "largest_bytes": 1_000_000,
    }
    with RunningReceiver(tmp_path_factory.mktemp("strict") / "incoming", 2, **options) as running:
        yield running


def associate_rq(calling: bytes = b"CT1", called: bytes = AE_TITLE.encode()) -> bytes:
    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(content)) + content

    context = bytes((1, 0, 0, 0)) + item(0x30, CT.encode()) + item(0x40, SYNTAX.encode())
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3")
    content = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16), calling.ljust(16))
    content += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    return struct.pack(">BxI", 1, len(content)) + content


def rejection(port: int, calling: str, called: str = AE_TITLE) -> tuple[int, int, int] | None:
    """Result, source and reason of an association that is refused (PS3.8, table 9-21)."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        connection.sendall(associate_rq(calling.encode(), called.encode()))
        answer = connection.recv(65536)
        if answer[0] == 2:
            connection.sendall(b"\x05\0\0\0\0\x04" + bytes(4))
            assert connection.recv(65536) == b"\x06\0\0\0\0\x04" + bytes(4)
            return None
    assert answer[:7] == b"\x03\0\0\0\0\x04\0"
    return answer[7], answer[8], answer[9]


@pytest.mark.parametrize("calling", ["CT1", "CT2", "CT4"])
def test_an_ae_on_the_list_is_let_in(strict: RunningReceiver, calling: str) -> None:
    assert rejection(strict.port, calling) is None


@pytest.mark.parametrize("calling", ["OTHER", "CT3", "CT5", "ct1"])
def test_an_ae_that_is_not_on_the_list_is_refused(strict: RunningReceiver, calling: str) -> None:
    assert rejection(strict.port, calling) == (1, 1, 3)
    strict.wait_for(f"refused {calling} calling-ae")


def test_another_called_ae_is_refused(strict: RunningReceiver) -> None:
    assert rejection(strict.port, "CT1", "OTHER") == (1, 1, 7)


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")
def test_dcmtk_understands_the_refusal(strict: RunningReceiver) -> None:
    answer = run_dcmtk("echoscu", strict.port, calling="OTHER")
    assert "Calling AE Title Not Recognized" in answer.stderr


def test_associations_are_counted_in_all_processes(strict: RunningReceiver) -> None:
    with associated(strict.port, CONTEXTS, "CT1"), associated(strict.port, CONTEXTS, "CT1"):
        assert rejection(strict.port, "CT1") == (2, 3, 2)
        with associated(strict.port, CONTEXTS, "CT2"):
            assert rejection(strict.port, "CT4") == (2, 3, 2)
    eventually(lambda: rejection(strict.port, "CT1") is None, 10)


def p_data(*values: tuple[int, int, bytes]) -> bytes:
    content = b"".join(
        struct.pack(">IBB", len(data) + 2, number, flags) + data for number, flags, data in values
    )
    return struct.pack(">BxI", 4, len(content)) + content


def command(**elements: int | bytes) -> bytes:
    body = b""
    for name, value in elements.items():
        data = struct.pack("<H", value) if isinstance(value, int) else value
        body += struct.pack("<HHI", 0, int(name[1:], 16), len(data)) + data
    return body


STORE = command(e0002=CT.encode() + b"\0" * (len(CT) % 2), e0100=1, e0110=1, e0800=1, e1000=b"1.2.3\0")
HOSTILE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown PDU": b"\x09\0\0\0\0\x04abcd",
    "four gigabytes": b"\x01\0\xff\xff\xff\xff" + bytes(1000),
    "an empty request": b"\x01\0\0\0\0\0",
    "noise for a request": b"\x01\0\0\0\1\0" + bytes(range(256)),
    "data first": p_data((1, 3, STORE)),
    "half a request": associate_rq()[:90],
    "a second request": associate_rq() * 2,
    "too long a PDU": associate_rq() + b"\x04\0\x7f\xff\xff\xff" + bytes(100_000),
    "no such context": associate_rq() + p_data((77, 3, STORE)),
    "data without a command": associate_rq() + p_data((1, 2, bytes(10))),
    "a value beyond its PDU": associate_rq() + b"\x04\0\0\0\0\x06" + struct.pack(">IBB", 1000, 1, 3),
    "a value without a header": associate_rq() + b"\x04\0\0\0\0\x03abc",
    "half a PDU": associate_rq() + p_data((1, 3, STORE))[:-1],
    "an endless command": associate_rq() + b"".join(p_data((1, 1, bytes(60_000))) for _ in range(40)),
    "no command set": associate_rq() + p_data((1, 3, b"\xff" * 99)),
    "a command amid data": associate_rq() + p_data((1, 3, STORE), (1, 0, bytes(8)), (1, 3, STORE)),
    "an endless instance": associate_rq()
    + p_data((1, 3, STORE))
    + b"".join(p_data((1, 0, bytes(100_000))) for _ in range(40)),
    "half an instance": associate_rq() + p_data((1, 3, STORE), (1, 0, bytes(10))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_who_breaks_the_protocol_is_cut_off_and_others_are_served(strict: RunningReceiver, name: str) -> None:
    with closing(socket.create_connection(("127.0.0.1", strict.port), timeout=10)) as connection:
        with suppress(OSError):
            connection.sendall(HOSTILE[name])
        said = b""
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                said += part
    # The last is an abort, or what was said before the silence.
    assert said[-10:-4] == b"\x07\0\0\0\0\x04" or said[-11:] in (b"", VERSION)
    assert not list((strict.incoming / ".arriving").iterdir())
    assert all(child.poll() is None for child in strict.children)
    assert rejection(strict.port, "CT1") is None


def test_a_silent_association_is_ended_and_a_busy_one_is_not(strict: RunningReceiver) -> None:
    with associated(strict.port, CONTEXTS, "CT1") as busy, associated(strict.port, CONTEXTS, "CT2") as silent:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            slice_ = ct()
            assert store(busy, CONTEXTS[0], encoded(slice_), slice_.SOPInstanceUID) == 0
            time.sleep(0.5)
        silent._reactor_checkpoint.set()
        time.sleep(0.5)
        assert not silent.is_established
        assert busy.is_established


@dataclass(frozen=True)
class Tls:
    receiver: RunningReceiver
    ours: Authority
    other: Authority


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("tls")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    own = ours.sign("receiver")
    files = {"certificate_file": own.certificate, "key_file": own.key, "ca_file": ours.ca_file}
    names = {name: str(path) for name, path in files.items()}
    with RunningReceiver(folder / "incoming", tls=names, acse_seconds=3.0) as running:
        yield Tls(running, ours, other)


def client_context(trusted: Authority, shown: Authority | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(trusted.ca_file))
    if shown is not None:
        pair = shown.sign("sender")
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def test_an_instance_comes_by_tls_with_certificates_of_both(tls: Tls) -> None:
    slice_ = ct()
    context = client_context(tls.ours, tls.ours)
    with associated(tls.receiver.port, CONTEXTS, tls_args=(context, "127.0.0.1")) as association:
        assert store(association, CONTEXTS[0], encoded(slice_), slice_.SOPInstanceUID) == 0
    assert len(tls.receiver.files()) == 1


def speak(context: ssl.SSLContext, port: int) -> None:
    """With TLS 1.3 a client hears that it is refused when it reads."""
    with (
        closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(associate_rq())
        if not connection.recv(1):
            raise ConnectionError


@pytest.mark.parametrize("shown", ["none", "other"])
def test_a_sender_without_a_good_certificate_is_refused(tls: Tls, shown: str) -> None:
    context = client_context(tls.ours, None if shown == "none" else tls.other)
    count = len([line for line in tls.receiver.lines if line.endswith("tls")])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak(context, tls.receiver.port)
    tls.receiver.wait_for("refused  tls", count + 1)


def test_plain_dicom_is_refused_where_tls_is_asked(tls: Tls) -> None:
    with closing(socket.create_connection(("127.0.0.1", tls.receiver.port), timeout=10)) as plain:
        plain.sendall(associate_rq())
        with suppress(ConnectionError):
            assert plain.recv(1) in (b"", b"\x15")  # an alert (RFC 8446, section 6)
    # One that never speaks is let go, and keeps nobody else waiting.
    with closing(socket.create_connection(("127.0.0.1", tls.receiver.port), timeout=10)) as silent:
        context = client_context(tls.ours, tls.ours)
        with associated(tls.receiver.port, CONTEXTS, tls_args=(context, "127.0.0.1")) as association:
            assert association.is_established
        assert silent.recv(1) == b""


def test_a_receiver_names_the_files_of_tls_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for name in ("text", "missing"):
        with pytest.raises(PacsError) as caught:
            tls_context(TlsFiles(tmp_path / name, tmp_path / name))
        assert caught.value.code == "pacs-certificate"


def test_places_of_senders_are_read() -> None:
    assert is_allowed([], "ANY", "10.0.0.1")
    net = [allowed_sender("CT 1@10.1.0.0/16"), allowed_sender("MR@fd00::/8"), allowed_sender("US@127.0.0.1")]
    assert is_allowed(net, "CT 1", "10.1.255.3")
    assert is_allowed(net, "CT 1", "::ffff:10.1.255.3")
    assert is_allowed(net, "MR", "fd00::5%eth0")
    assert not is_allowed(net, "CT 1", "10.2.0.1")
    assert not is_allowed(net, "MR", "10.1.0.1")
    assert not is_allowed(net, "US", "127.0.0.2")
    assert (known_peer("CT1=[fd00::5]:104").host, known_peer("CT1=ct1.example:104").port) == ("fd00::5", 104)


@pytest.mark.parametrize(
    "text", ["", "@host", "A" * 17, "CT\\1", "CT1@", "CT1@10.0.0.0/99", "CT1@ho st", "CTé", "CT1@/8"]
)
def test_senders_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(PacsError, match=r"AET|network") as caught:
        allowed_sender(text)
    assert caught.value.code == "bad-sender"


@pytest.mark.parametrize(
    "text", ["", "CT1", "CT1=", "CT1=host", "CT1=host:0", "CT1=host:65536", "=host:1", "A=:1"]
)
def test_peers_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(PacsError) as caught:
        known_peer(text)
    assert caught.value.code == "bad-sender"


def test_idle_connections_of_one_address_keep_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_UNASKED_OF_ONE", 2)
    stopping, listener = threading.Event(), bind("127.0.0.1", 0)
    place = listener.getsockname()[1]
    options, receiving = ReceiverOptions(min_free_bytes=0), cast(Receiving, object())
    thread = threading.Thread(
        target=server.serve, args=(listener, tmp_path / "incoming", options, receiving, stopping)
    )
    thread.start()
    try:
        with ExitStack() as stack:

            def connected(source: str) -> socket.socket:
                found = socket.create_connection(("127.0.0.1", place), 10, (source, 0))
                return stack.enter_context(closing(found))

            def accepted(connection: socket.socket) -> bool:
                with suppress(ConnectionError):
                    connection.sendall(associate_rq())
                    return connection.recv(1) == b"\x02"
                return False

            idle = [connected("127.0.0.1") for _ in range(2)]
            assert not accepted(connected("127.0.0.1"))
            assert accepted(connected("127.0.0.2"))
            assert accepted(idle[0])
            assert accepted(connected("127.0.0.1"))
    finally:
        stopping.set()
        thread.join(20)
        listener.close()


def pdu_item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def test_a_request_has_no_more_items_than_it_can_need() -> None:
    fixed = struct.pack(">HH16s16s32x", 1, 0, AE_TITLE.encode().ljust(16), b"CT1".ljust(16))
    application = pdu_item(0x10, b"1.2.840.10008.3.1.1.1")
    user = pdu_item(0x50, pdu_item(0x51, struct.pack(">I", 16384)))
    syntaxes = pdu_item(0x40, SYNTAX.encode()) * 60
    contexts = [
        pdu_item(0x20, bytes((number, 0, 0, 0)) + pdu_item(0x30, CT.encode()) + syntaxes)
        for number in range(1, 256, 2)
    ]
    whole = read_proposal(memoryview(fixed + application + b"".join(contexts) + user))
    assert [one.transfer_syntax for one in whole.contexts] == [SYNTAX] * 128
    tiny = pdu_item(0x20, bytes(4))
    wide = pdu_item(0x20, bytes(4) + pdu_item(0x40, b"") * 16_000)
    for items in (tiny * 129, wide * 2, user * 2, bytes(1 << 20)):
        with pytest.raises(ProtocolError):
            read_proposal(memoryview(fixed + application + items))


def test_storage_is_what_the_standard_lists_and_what_is_private() -> None:
    for uid in (CT, "1.2.840.10008.5.1.4.34.7", "1.2.840.10008.5.1.4.1.1.999.1", "1.3.12.2.1107.5.9.1"):
        assert is_storage(uid)
    for uid in (
        VERIFICATION,
        "1.2.840.10008.5.1.4.1.2.2.1",
        "1.2.840.10008.5.1.4.31",
        "1.2.840.10008.1.20.1",
        "",
    ):
        assert not is_storage(uid)


def test_refusals_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with caplog.at_level("WARNING", "medsiglip.receiving"):
        for _ in range(1000):
            refusals.note("OTHER", "10.0.0.1", "calling-ae")
        now[0] = MINUTE
        refusals.note("OTHER", "10.0.0.2", "calling-ae")
    first, later = [record.getMessage() for record in caplog.records]
    assert first.startswith("1 association(s) refused: the calling AE title")
    assert later.startswith("1000 association(s) refused")
    assert "10.0.0.2" in later
