"""Storage commitment both ways: on the sender's association, and on one of our own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association

from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving import commitment
from medsiglip.ingest.receiving.commands import (
    ACTION_TYPE,
    FIELD,
    N_ACTION,
    REQUESTED_INSTANCE,
    STATUS,
    Command,
)
from medsiglip.ingest.receiving.commands import encoded as command_set
from medsiglip.ingest.receiving.commitment import Commitments, outcome_of, read_request, report_to
from medsiglip.ingest.receiving.negotiation import (
    ACCEPTED,
    COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT,
    Context,
)
from medsiglip.ingest.receiving.options import Peer, Receiving
from tests.api.archive.pacs.orthanc import Orthanc, Setup, needs_orthanc
from tests.ingest.receiving.receivers import AE_TITLE, RunningReceiver, associated, store
from tests.ingest.receiving.slices import CT, IMPLICIT, SYNTAX, ct, encoded
from tests.waiting import eventually

# pynetdicom leaves the socket of a connection that ends early to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

MR = "1.2.840.10008.5.1.4.1.1.4"
CONTEXTS = [(CT, SYNTAX), (STORAGE_COMMITMENT, SYNTAX)]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    with RunningReceiver(tmp_path_factory.mktemp("commitment") / "incoming") as running:
        yield running


def action(pairs: list[tuple[str, str]], transaction: str) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = []
    for sop_class, instance in pairs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        dataset.ReferencedSOPSequence.append(item)
    return dataset


class Reports:
    """What a sender was told."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, Dataset]] = []
        self.status = 0x0000
        self.is_answered = False

    def note_sent(self, event: Any) -> None:
        """Something was sent; after a report, that is its answer."""
        self.is_answered = self.is_answered or bool(self.taken)

    def __call__(self, event: Any) -> tuple[int, None]:
        self.taken.append((event.event_type, event.event_information))
        return self.status, None


def asking(receiver: RunningReceiver, reports: Reports, data: Dataset, **named: Any) -> int:
    """Ask on an association, and wait on it for the report where the request is accepted; the status."""
    given = {"action_type": 1, "instance": COMMITMENT_INSTANCE, **named}
    handlers = [(evt.EVT_N_EVENT_REPORT, reports), (evt.EVT_PDU_SENT, reports.note_sent)]
    with associated(receiver.port, CONTEXTS, "CT1", evt_handlers=handlers) as association:
        status = ask(association, data, given)
        if status == 0:
            eventually(lambda: reports.is_answered, 15)
        return status


def ask(association: Association, data: Dataset, given: dict[str, Any]) -> int:
    answer, _ = association.send_n_action(data, given["action_type"], STORAGE_COMMITMENT, given["instance"])
    return int(answer.Status)


def test_a_sender_that_waits_hears_what_is_kept(receiver: RunningReceiver) -> None:
    slices, reports, transaction = [ct(), ct()], Reports(), generate_uid()
    with associated(receiver.port, CONTEXTS, "CT1") as association:
        for one in slices:
            assert store(association, CONTEXTS[0], encoded(one), one.SOPInstanceUID) == 0
    pairs = [(CT, str(one.SOPInstanceUID)) for one in slices]
    assert asking(receiver, reports, action(pairs, transaction)) == 0
    [(event, report)] = reports.taken
    assert (event, report.TransactionUID) == (1, transaction)
    assert references(report.ReferencedSOPSequence) == pairs
    assert "FailedSOPSequence" not in report
    receiver.wait_for(f"asked CT1 {transaction} 2")
    receiver.wait_for(f"reported CT1 {transaction}")


def references(sequence: Any) -> list[tuple[str, str]]:
    return [(str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)) for one in sequence]


def test_what_is_not_kept_fails(receiver: RunningReceiver) -> None:
    slice_, reports = ct(), Reports()
    with associated(receiver.port, CONTEXTS, "CT1") as association:
        assert store(association, CONTEXTS[0], encoded(slice_), slice_.SOPInstanceUID) == 0
    kept, missing = (CT, str(slice_.SOPInstanceUID)), (CT, "1.2.3")
    assert asking(receiver, reports, action([missing, kept], generate_uid())) == 0
    [(event, report)] = reports.taken
    assert event == 2
    assert references(report.ReferencedSOPSequence) == [kept]
    assert references(report.FailedSOPSequence) == [missing]
    assert report.FailedSOPSequence[0].FailureReason == 0x0112


def test_a_report_that_is_refused_is_not_taken_for_taken(receiver: RunningReceiver) -> None:
    reports, transaction = Reports(), generate_uid()
    reports.status = 0x0110
    assert asking(receiver, reports, action([(CT, "1.2.3")], transaction)) == 0
    receiver.wait_for(f"asked CT1 {transaction}")
    assert f"reported CT1 {transaction}" not in receiver.lines


@pytest.mark.parametrize(
    ("data", "named", "status"),
    [
        (action([], "1.2.3"), {}, 0x0115),
        (action([(CT, "1.2.3")], ""), {}, 0x0115),
        (ct(), {}, 0x0115),
        (action([(CT, "1.2.3")], "1.2.3"), {"action_type": 2}, 0x0123),
        (action([(CT, "1.2.3")], "1.2.3"), {"instance": "1.2.3"}, 0x0112),
    ],
    ids=["no instances", "no transaction", "nothing", "other action", "other instance"],
)
def test_a_request_that_cannot_be_meant_is_refused(
    receiver: RunningReceiver, data: Dataset, named: dict[str, Any], status: int
) -> None:
    reports = Reports()
    assert asking(receiver, reports, data, **named) == status
    assert reports.taken == []


def test_requests_that_cannot_be_read_are_none() -> None:
    nested = b"\x08\0\x99\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 20_000
    letters = encoded(action([(CT, "1.2.3")], "1.2.3")).replace(b"1.2.3", b"1.x.3")
    for data in (b"", b"text", nested, letters):
        assert read_request(data, SYNTAX, "CT1") is None
    read = read_request(encoded(action([(CT, "1.2.3")], "1.2.4"), IMPLICIT), IMPLICIT, "CT1")
    assert read == CommitmentRequest("CT1", "1.2.4", [(CT, "1.2.3")])


def test_a_request_of_a_million_items_is_not_read() -> None:
    items = b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000
    data = b"\x08\0\x99\x11SQ\0\0" + len(items).to_bytes(4, "little") + items
    tracemalloc.start()
    try:
        assert read_request(data, SYNTAX, "CT1") is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


class Kept:
    """A home that keeps requests, or none."""

    def __init__(self, error: Exception | None = None) -> None:
        self.requests: list[CommitmentRequest] = []
        self._error = error

    def on_commitment(self, request: CommitmentRequest) -> None:
        if self._error is not None:
            raise self._error
        self.requests.append(request)


class Layer:
    """What was answered."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def send_message(self, context_id: int, command: bytes, data: bytes = b"") -> None:
        self.statuses.append(Command(command).number(STATUS))


def asked(kept: Kept, count: int, *, has_room: bool = True) -> list[int]:
    layer: Any = Layer()
    requests = Commitments(layer, cast(Receiving, kept))
    action_command: dict[int, int | str] = {
        REQUESTED_INSTANCE: COMMITMENT_INSTANCE,
        FIELD: N_ACTION,
        ACTION_TYPE: 1,
    }
    data = encoded(action([(CT, "1.2.3")], "1.2.4"))
    for _ in range(count):
        context = Context(1, STORAGE_COMMITMENT, SYNTAX, ACCEPTED)
        requests.ask(context, Command(command_set(action_command)), data, "CT1", has_room=has_room)
    return list(layer.statuses)


def test_a_sender_cannot_ask_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "_MAX_REQUESTS", 3)
    kept = Kept()
    assert asked(kept, 5) == [0, 0, 0, 0x0213, 0x0213]
    assert len(kept.requests) == 3
    assert asked(kept, 1, has_room=False) == [0x0213]
    assert asked(Kept(PacsError("strict-home", "Nothing is kept.")), 1) == [0x0110]


def test_an_instance_of_another_class_is_a_conflict() -> None:
    request = CommitmentRequest("CT1", "1.2.3", [(CT, "1.1"), (MR, "1.2"), (CT, "1.3"), (CT, "1.4")])
    outcome = outcome_of(request, {"1.1": {CT}, "1.2": {CT}, "1.3": {""}})
    assert outcome.committed == [(CT, "1.1"), (CT, "1.3")]
    assert outcome.failed == [(MR, "1.2", 0x0119), (CT, "1.4", 0x0112)]


@pytest.fixture
def listening() -> Iterator[tuple[Peer, Reports]]:
    """A sender's own SCP, which takes reports."""
    reports = Reports()
    ae: Any = AE("CT1")
    ae.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)  # those of the caller
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports)])
    yield Peer("CT1", "127.0.0.1", server.server_address[1]), reports
    server.shutdown()
    server.server_close()


REQUEST = CommitmentRequest("CT1", "1.2.3.4", [(CT, "1.1"), (CT, "1.2")])


def test_a_report_goes_to_where_the_sender_listens(listening: tuple[Peer, Reports]) -> None:
    peer, reports = listening
    report_to(peer, AE_TITLE, REQUEST, outcome_of(REQUEST, {"1.1": {CT}}))
    [(event, report)] = reports.taken
    assert (event, report.TransactionUID) == (2, "1.2.3.4")
    assert references(report.ReferencedSOPSequence) == [(CT, "1.1")]
    assert references(report.FailedSOPSequence) == [(CT, "1.2")]


def test_a_report_that_is_not_taken_may_be_later(listening: tuple[Peer, Reports]) -> None:
    peer, reports = listening
    reports.status = 0x0110
    outcome = outcome_of(REQUEST, {})
    with pytest.raises(PacsError, match="0110") as failed:
        report_to(peer, AE_TITLE, REQUEST, outcome)
    assert (failed.value.code, failed.value.may_pass) == ("pacs-failed", True)


def test_a_peer_that_is_away_may_be_back_later() -> None:
    with pytest.raises(PacsError) as caught:
        report_to(Peer("CT1", "127.0.0.1", 1), AE_TITLE, REQUEST, outcome_of(REQUEST, {}))
    assert (caught.value.code, caught.value.may_pass) == ("pacs-unreachable", True)


def test_a_peer_that_does_not_let_the_receiver_report_is_named() -> None:
    ae: Any = AE("CT1")
    ae.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=False)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(PacsError, match="CT1") as caught:
            report_to(
                Peer("CT1", "127.0.0.1", server.server_address[1]), AE_TITLE, REQUEST, outcome_of(REQUEST, {})
            )
    finally:
        server.shutdown()
        server.server_close()
    assert caught.value.code == "pacs-unreachable"


@needs_orthanc
def test_orthanc_asks_and_is_told(receiver: RunningReceiver, tmp_path: Path) -> None:
    slices, folder = [ct(), ct()], tmp_path / "orthanc"
    missing = str(generate_uid())
    with Orthanc(folder, Setup(modalities={AE_TITLE: receiver.port})) as orthanc:
        with associated(receiver.port, CONTEXTS, orthanc.ae_title) as association:
            for one in slices:
                assert store(association, CONTEXTS[0], encoded(one), one.SOPInstanceUID) == 0
        pairs = [(CT, str(one.SOPInstanceUID)) for one in slices] + [(CT, missing)]
        asked = orthanc.http.post(
            f"/modalities/{AE_TITLE}/storage-commitment",
            json={"DicomInstances": [list(pair) for pair in pairs]},
        )
        path = asked.raise_for_status().json()["Path"]
        transaction = asked.json()["ID"]
        receiver.wait_for(f"asked {orthanc.ae_title} {transaction} 3")
        assert orthanc.http.get(path).json()["Status"] == "Pending"
        request = CommitmentRequest(orthanc.ae_title, transaction, pairs)
        peer = Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)
        report_to(peer, AE_TITLE, request, outcome_of(request, {uid: {CT} for _, uid in pairs[:2]}))
        told = orthanc.http.get(path).json()
    assert told["Status"] == "Failure"
    assert {one["SOPInstanceUID"] for one in told["Success"]} == {uid for _, uid in pairs[:2]}
    assert [one["SOPInstanceUID"] for one in told["Failures"]] == [missing]
