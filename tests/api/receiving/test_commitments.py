"""Storage commitment of a home: to what it keeps as files, wherever that is, and to nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.receiving import commitments as api_commitments
from medsiglip.api.receiving.commitments import outcome, report_due
from medsiglip.api.receiving.handing_over import HandOver
from medsiglip.api.receiving.process import Received
from medsiglip.api.receiving.state import Counts
from medsiglip.index.pacs import commitments
from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving.options import CommitmentOutcome, Peer, ReceiverOptions
from tests.api.receiving.conftest import spool_file
from tests.api.receiving.test_handing_over import studies


def pair_of(file: Path) -> tuple[str, str]:
    meta = read_file_meta_info(file)
    return str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)


def outcome_of_files(archive: Archive, files: list[Path]) -> CommitmentOutcome:
    return outcome(archive, CommitmentRequest("CT1", "2.25.1", [pair_of(file) for file in files]))


def test_what_is_on_the_disk_is_committed_to(
    archive: Archive, photographs: list[Path], tmp_path: Path
) -> None:
    """In the index, as a job that waits, in the spool, and from a folder of another road."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copied = Path(shutil.copy(photographs[0], elsewhere))
    archive.ingest([elsewhere])
    spool_file(archive.home, photographs[1])
    HandOver(archive).hand_over(studies(archive))
    spool_file(archive.home, photographs[2])
    pairs = [pair_of(file) for file in photographs[:3]]
    other_class, unknown = ("1.2.840.10008.5.1.4.1.1.2", pairs[0][1]), (pairs[0][0], "2.25.404")
    found = outcome(archive, CommitmentRequest("CT1", "2.25.1", [*pairs, other_class, unknown]))
    assert list(found.committed) == pairs
    assert list(found.failed) == [(*other_class, 0x0119), (*unknown, 0x0112)]
    Worker(archive).run(once=True)
    assert list(outcome(archive, CommitmentRequest("CT1", "2.25.1", pairs)).committed) == pairs
    copied.unlink()
    left = outcome(archive, CommitmentRequest("CT1", "2.25.1", pairs))
    assert [instance for _, instance, _ in left.failed] == [pairs[0][1]]


def test_a_strict_home_commits_to_nothing(tmp_path: Path, photographs: list[Path]) -> None:
    (tmp_path / "first").mkdir()
    shutil.copy(photographs[0], tmp_path / "first")
    with Archive(tmp_path / "strict") as archive:
        archive.ingest([tmp_path / "first"], phi="strict")
        spool_file(archive.home, photographs[1])
        pairs = [pair_of(file) for file in photographs[:2]]
        request = CommitmentRequest("CT1", "2.25.1", pairs)
        assert outcome(archive, request).committed == []
        with pytest.raises(PacsError):  # the UIDs of the sender are not stored
            Received(archive, Counts()).on_commitment(request)


@contextmanager
def listening(reports: list[Any]) -> Iterator[int]:
    """A sender that takes reports of storage commitment; its port."""

    def take(event: evt.Event) -> tuple[int, None]:
        reports.append(event.event_information)
        return 0x0000, None

    ae = AE("CT1")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    assert server is not None
    assert server.socket is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_a_request_is_reported_on_an_association_of_ours_once(
    archive: Archive, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitments, "FIRST_PAUSE", commitments.FIRST_PAUSE * 0)
    spool_file(archive.home, photographs[0])
    sop_class, instance = pair_of(photographs[0])
    store = archive.index.storage_commitments
    store.add(CommitmentRequest("CT1", "2.25.7", [(sop_class, instance)]))
    store.add(CommitmentRequest("CT2", "2.25.8", [(sop_class, instance)]))
    reports: list[Any] = []
    with listening(reports) as port:
        options = ReceiverOptions(peers=(Peer("CT1", "127.0.0.1", port),))
        assert report_due(archive, options) == 1
        assert report_due(archive, options) == 0  # who has no address waits, and asks again
    [report] = reports
    assert report.TransactionUID == "2.25.7"
    assert [one.ReferencedSOPInstanceUID for one in report.ReferencedSOPSequence] == [instance]


def test_a_peer_that_is_away_is_tried_once_for_all_that_it_asked(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitments, "FIRST_PAUSE", commitments.FIRST_PAUSE * 0)
    tried: list[str] = []

    def fail(peer: Peer, ae_title: str, request: CommitmentRequest, _outcome: CommitmentOutcome) -> None:
        tried.append(request.transaction_uid)
        code = "pacs-failed" if peer.ae_title == "CT2" else "pacs-unreachable"
        raise PacsError(code, "It takes no report.", may_pass=True)

    monkeypatch.setattr(api_commitments, "report_to", fail)
    for number in range(6):
        pairs = [("1.2.3", "2.25.1")]
        request = CommitmentRequest(f"CT{number % 2 + 1}", f"2.25.{number}", pairs)
        archive.index.storage_commitments.add(request)
    options = ReceiverOptions(peers=(Peer("CT1", "ct1", 104), Peer("CT2", "ct2", 104)))
    assert report_due(archive, options) == 0
    assert tried == ["2.25.0", "2.25.1", "2.25.3", "2.25.5"]
    assert report_due(archive, options) == 0
    assert len(tried) == 4  # all wait for a while
