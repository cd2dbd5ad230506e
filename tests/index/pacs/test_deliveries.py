"""Documents on their way to PACS as rows: one for each, with one UID, and gone with their draft."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.pacs.deliveries import JOB_KIND, Consignment, insert_consignments
from medsiglip.index.service.drafts import RevisionRecord
from medsiglip.index.service.newest_first import Place
from tests.index.index_cases import make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    index.add([make_bundle(number, 1) for number in range(2)], unit_vectors(2))
    for number in range(2):
        add_draft(index, f"d{number}", f"2.25.{number}")
    for name in ("main", "second"):
        index.pacs_connections.put(name, {"kind": "dicomweb", "url": "http://127.0.0.1:1/dicom-web"})
    return index


def add_draft(index: CaseIndex, draft_id: str, study: str) -> None:
    index.drafts.add(
        draft_id, study, route=None, generator="evidence-only", text="Clear.", payload={}, by="worker"
    )


def consignment(draft: int = 0, to: str = "main", formats: tuple[str, ...] = ("sr", "pdf")) -> Consignment:
    uids = {format: f"2.25.9{draft}{len(format)}" for format in formats}
    return Consignment(to, f"d{draft}", f"2.25.{draft}", uids)


def test_a_document_has_one_row_and_keeps_its_uid(filled: CaseIndex) -> None:
    first = filled.pacs_deliveries.add(consignment(formats=("sr",)))
    assert [(one.format, one.status, one.attempts, one.failure, one.sent_at) for one in first] == [
        ("sr", "waiting", 0, None, None)
    ]
    other = Consignment("main", "d0", "2.25.0", {"sr": "2.25.77", "pdf": "2.25.78"})
    both = filled.pacs_deliveries.add(other)
    assert [(one.format, one.sop_instance_uid) for one in both] == [("pdf", "2.25.78"), ("sr", "2.25.902")]
    assert filled.pacs_deliveries.of(other) == both
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: filled.pacs_deliveries.add(consignment(1)), range(8)):
            assert [one.format for one in found] == ["pdf", "sr"]
    assert len(filled.pacs_deliveries.listed(draft_id="d1")) == 2


def test_each_try_and_how_it_ended_is_kept(filled: CaseIndex) -> None:
    store = filled.pacs_deliveries
    pdf, sr = store.add(consignment())
    store.tried(sr.id)
    store.not_sent(sr.id, {"code": "pacs-unreachable", "message": "away"}, for_good=False)
    store.tried(pdf.id)
    store.not_sent(pdf.id, {"code": "pacs-refused", "message": "no"}, for_good=True)
    pdf, sr = store.of(consignment())
    assert (sr.status, sr.attempts, sr.failure) == (
        "waiting",
        1,
        {"code": "pacs-unreachable", "message": "away"},
    )
    assert (pdf.status, pdf.attempts) == ("failed", 1)
    store.sent(sr.id)
    pdf, sr = store.add(consignment())  # to ask again: what failed waits again, what was sent stays so
    assert (pdf.status, sr.status, sr.failure, sr.sent_at is not None) == ("waiting", "sent", None, True)
    assert filled.pacs_connections.delivery_counts() == {("main", "waiting"): 1, ("main", "sent"): 1}


def test_pages_of_a_connection_a_draft_and_a_status(filled: CaseIndex) -> None:
    store = filled.pacs_deliveries
    for draft in range(2):
        for to in ("main", "second"):
            store.add(consignment(draft, to))
    every = store.listed()
    assert len(every) == 8
    assert [one.created_at for one in every] == sorted((one.created_at for one in every), reverse=True)
    paged = store.listed(limit=3)
    while len(paged) < 8:
        paged += store.listed(after=Place(paged[-1].created_at, paged[-1].id), limit=3)
    assert paged == every
    assert {one.draft_id for one in store.listed(to="second")} == {"d0", "d1"}
    assert {(one.connection, one.draft_id) for one in store.listed(to="main", draft_id="d1")} == {
        ("main", "d1")
    }
    store.sent(every[0].id)
    assert [one.id for one in store.listed(status="sent")] == [every[0].id]


def test_what_is_accepted_waits_to_be_sent_in_the_same_transaction_or_not_at_all(filled: CaseIndex) -> None:
    former = filled.drafts.get("d0")
    step = RevisionRecord("accepted", "ann", text="Clear.")

    def broken(connection: Connection) -> None:
        insert_consignments(connection, [consignment()], "ann")
        raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        filled.drafts.advance(former, step, report="Clear.", also=broken)
    assert filled.drafts.get("d0").status == "draft"
    assert filled.pacs_deliveries.listed() == []
    assert filled.jobs.listed() == []
    consignments = [consignment(), consignment(to="second", formats=("pdf",))]
    filled.drafts.advance(
        former,
        step,
        report="Clear.",
        also=lambda connection: insert_consignments(connection, consignments, "ann"),
    )
    assert [(one.connection, one.format) for one in filled.pacs_deliveries.listed(to="second")] == [
        ("second", "pdf")
    ]
    jobs = filled.jobs.listed(kind=JOB_KIND)
    assert sorted((job.parameters["to"], job.parameters["formats"]) for job in jobs) == [
        ("main", ["pdf", "sr"]),
        ("second", ["pdf"]),
    ]
    assert {(job.key_id, job.parameters["draft_id"]) for job in jobs} == {("ann", "d0")}


def test_deliveries_and_their_jobs_go_with_the_study(filled: CaseIndex) -> None:
    for draft in range(2):
        one = consignment(draft)
        filled.pacs_deliveries.add(one)
        filled.jobs.submit(JOB_KIND, one.job)
    filled.remove_study("2.25.0")
    assert {one.draft_id for one in filled.pacs_deliveries.listed()} == {"d1"}
    assert [job.parameters["draft_id"] for job in filled.jobs.listed()] == ["d1"]
