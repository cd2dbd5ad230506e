"""Accepted drafts in a real PACS: filed with their study, once, whatever is lost on the way."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs import opening
from tests.api.archive.pacs.cutting_proxy import CuttingProxy
from tests.api.archive.pacs.orthanc import Orthanc, needs_orthanc
from tests.api.conftest import Home, Phantoms

pytestmark = needs_orthanc
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        yield started


@dataclass
class Site:
    """A home with an accepted report of a study that the PACS holds, which is named `web` and `dimse`."""

    archive: Archive
    orthanc: Orthanc
    study: str
    report: str
    files: list[Path]

    def documents(self) -> dict[str, pydicom.Dataset]:
        """What the PACS holds of the study beside its pictures, by modality."""
        stored = map(pydicom.dcmread, map(io.BytesIO, self.orthanc.stored().values()))
        return {one.Modality: one for one in stored if one.Modality in ("SR", "DOC")}

    def work(self) -> Worker:
        worker = Worker(self.archive)
        worker.run(once=True)
        return worker

    def another_report(self) -> str:
        drafted = self.archive.draft_report(self.study, by="test", options={"neighbours": 0})
        self.archive.accept_report(drafted["id"], by="ann")
        return str(drafted["id"])


@pytest.fixture
def site(orthanc: Orthanc, own_home: Home, phantoms: Phantoms) -> Iterator[Site]:
    orthanc.clear()
    with Archive(own_home.path) as archive:
        study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
        files = [Path(str(one.path)) for one in archive.index.images_of(study)]
        assert orthanc.upload(files) == files
        archive.add_pacs("web", url=orthanc.dicomweb_url)
        archive.add_pacs("dimse", host="127.0.0.1", port=orthanc.dicom_port, ae_title="ORTHANC")
        made = Site(archive, orthanc, study, "", files)
        made.report = made.another_report()
        yield made


@pytest.mark.parametrize("to", ["web", "dimse"])
def test_a_report_is_filed_with_its_study_under_the_identity_of_the_pacs(site: Site, to: str) -> None:
    sent = site.archive.pacs_send(site.report, to, formats=["sr", "pdf"])
    assert {one.format: one.status for one in sent.deliveries} == {"sr": "sent", "pdf": "sent"}
    original, documents = pydicom.dcmread(site.files[0]), site.documents()
    assert {one.SOPInstanceUID for one in documents.values()} == {
        one.sop_instance_uid for one in sent.deliveries
    }
    assert documents["SR"].SOPClassUID == COMPREHENSIVE_SR
    assert documents["DOC"].SOPClassUID == ENCAPSULATED_PDF
    assert documents["DOC"].EncapsulatedDocument.startswith(b"%PDF-")
    for one in documents.values():
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "PatientSex", "StudyDate"):
            assert one.get(keyword) == original.get(keyword), keyword
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.VerificationFlag == "VERIFIED"
    [study] = site.orthanc.http.get("/studies", params={"expand": ""}).json()
    assert study["MainDicomTags"]["StudyInstanceUID"] == site.study  # and no second one, of another patient
    rows = site.archive.index.pacs_deliveries.listed()
    assert [(one.attempts, one.failure) for one in rows] == [(1, None), (1, None)]
    name = str(original.PatientName)
    assert all(name not in path.read_bytes().decode("latin-1") for path in site.archive.home.glob("catalog*"))


def test_to_send_again_sends_nothing_and_what_the_pacs_lost_comes_back_as_it_was(site: Site) -> None:
    first = site.archive.pacs_send(site.report, "web", formats=["sr", "pdf"])
    held = site.orthanc.stored()
    again = site.archive.pacs_send(site.report, "web", formats=["pdf", "sr"])
    assert [one.attempts for one in again.deliveries] == [1, 1]
    assert [one.sop_instance_uid for one in again.deliveries] == [
        one.sop_instance_uid for one in first.deliveries
    ]
    site.archive.pacs_send(site.report, "dimse", formats=["sr", "pdf"])  # the same PACS by another road
    assert site.orthanc.stored() == held
    site.orthanc.clear()
    site.orthanc.upload(site.files)
    back = site.archive.pacs_send(site.report, "web", formats=["sr", "pdf"])
    assert [one.attempts for one in back.deliveries] == [2, 2]
    assert {uid: data_set(content) for uid, content in site.orthanc.stored().items()} == {
        uid: data_set(content) for uid, content in held.items()
    }


def data_set(content: bytes) -> pydicom.Dataset:
    """A stored file without its meta information, which names the program that wrote it down."""
    return pydicom.dcmread(io.BytesIO(content))


def test_a_report_whose_answer_was_lost_is_there_once(site: Site) -> None:
    proxy = CuttingProxy(site.orthanc.http_port, cut_after=10_000)
    site.archive.add_pacs("cut", url=f"http://127.0.0.1:{proxy.port}/dicom-web")
    job = order(site, "cut", ["pdf"])
    site.work()
    assert proxy.cut == 1
    assert site.documents()["DOC"].StudyInstanceUID == site.study  # stored, and nobody knows
    [row] = site.archive.index.pacs_deliveries.listed(to="cut")
    assert row.status == "waiting"
    assert row.failure is not None
    waiting = site.archive.index.jobs.get(job)
    assert (waiting.status, waiting.attempts) == ("queued", 0)  # it waits without using up its attempts
    held = site.orthanc.sops()
    proxy.close()
    let_wait_no_longer(site.archive, job)
    site.work()
    assert site.archive.index.jobs.get(job).status == "done"
    [row] = site.archive.index.pacs_deliveries.listed(to="cut")
    assert (row.status, row.failure, row.sop_instance_uid in held) == ("sent", None, True)
    assert site.orthanc.sops() == held


def order(site: Site, to: str, formats: list[str]) -> str:
    from medsiglip.api.archive.pacs.delivering import order_delivery

    consignment = order_delivery(site.archive, site.report, to, formats)
    return site.archive.index.jobs.submit("pacs-send", consignment.job).id


def let_wait_no_longer(archive: Archive, job: str) -> None:
    from sqlalchemy import text

    with archive.index._database.write() as connection:
        connection.execute(text("UPDATE jobs SET not_before = created_at WHERE id = :id"), {"id": job})


def test_reports_go_by_themselves_where_a_pacs_asks_for_all(site: Site) -> None:
    site.archive.add_pacs("web", url=site.orthanc.dicomweb_url, send_accepted=["sr"])
    report = site.another_report()
    assert [job.kind for job in site.archive.index.jobs.listed()] == ["pacs-send"]
    [event] = [one.event for one in site.archive.index.audit.events() if one.event.action == "pacs-send"]
    assert (event.actor, event.studies) == ("ann", (site.study,))
    assert event.details == {"draft": report, "to": "web"}
    assert site.work().ended == {"done": 1}
    document = site.documents()["SR"]
    [row] = site.archive.index.pacs_deliveries.listed()
    assert (row.draft_id, row.status, row.sop_instance_uid) == (report, "sent", document.SOPInstanceUID)
    # It is an addendum, and refers to the report before it by the UID under which that is sent.
    [before] = document.PredecessorDocumentsSequence
    [series] = before.ReferencedSeriesSequence
    [former] = series.ReferencedSOPSequence
    with pytest.raises(ServiceError) as refused:
        site.archive.pacs_send(site.report, "web")
    assert refused.value.code == "report-superseded"
    site.archive.index.pacs_deliveries.add(consigned(site, site.report))
    site.archive.pacs_send(site.report, "web")  # it waited already when the other took its place
    assert former.ReferencedSOPInstanceUID in site.orthanc.sops()


def consigned(site: Site, report: str) -> Any:
    from medsiglip.api.archive.pacs.documents import document_uids
    from medsiglip.index.pacs.deliveries import Consignment
    from medsiglip.medgemma.draft_record import draft_of

    draft = draft_of(site.archive.index.drafts.get(report))
    return Consignment("web", report, site.study, document_uids(draft, ["sr"]))


def test_only_what_a_person_accepted_is_sent(site: Site) -> None:
    drafted = site.archive.draft_report(site.study, by="test", options={"neighbours": 0})
    for draft_id, to, formats, code in (
        (drafted["id"], "web", ["sr"], "not-accepted"),
        (site.report, "web", ["html"], "unknown-format"),
        (site.report, "web", [], "unknown-format"),
        (site.report, "nowhere", ["sr"], "unknown-pacs"),
        ("0" * 32, "web", ["sr"], "unknown-draft"),
    ):
        with pytest.raises((ServiceError, CatalogError)) as refused:
            site.archive.pacs_send(draft_id, to, formats=formats)
        assert vars(refused.value)["code"] == code
    assert site.archive.index.pacs_deliveries.listed() == []
    assert site.documents() == {}


def test_nothing_is_sent_into_a_study_of_somebody_else(site: Site) -> None:
    site.orthanc.clear()
    with pytest.raises(PacsError) as refused:
        site.archive.pacs_send(site.report, "web")
    assert refused.value.code == "pacs-unknown-study"
    other = pydicom.dcmread(site.files[0])
    other.PatientID = "SOMEBODY-ELSE"
    buffer = io.BytesIO()
    other.save_as(buffer)
    assert site.orthanc.http.post("/instances", content=buffer.getvalue()).is_success
    with pytest.raises(PacsError) as refused:
        site.archive.pacs_send(site.report, "web")
    assert refused.value.code == "pacs-other-patient"
    assert "SOMEBODY" not in str(refused.value)
    [row] = site.archive.index.pacs_deliveries.listed()
    assert (row.status, row.attempts) == ("failed", 0)
    assert row.failure == {"code": "pacs-other-patient", "message": str(refused.value)}
    assert site.documents() == {}
    site.orthanc.clear()
    site.orthanc.upload(site.files)
    site.archive.pacs_send(site.report, "web")
    [row] = site.archive.index.pacs_deliveries.listed()
    assert (row.status, row.failure) == ("sent", None)


def test_a_pacs_that_is_away_is_tried_again_and_one_that_refuses_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.archive.add_pacs("away", url="http://127.0.0.1:1/dicom-web")
    job = order(site, "away", ["sr"])
    assert site.work().ended == {"failed": 1}
    [row] = site.archive.index.pacs_deliveries.listed(to="away")
    assert (row.status, row.failure and row.failure["code"]) == ("waiting", "pacs-unreachable")
    assert site.archive.index.jobs.get(job).status == "queued"
    with pytest.raises(PacsError):  # a person who sends it from the command line is not there to try again
        site.archive.pacs_send(site.report, "away")
    [row] = site.archive.index.pacs_deliveries.listed(to="away")
    assert row.status == "failed"
    refusing(monkeypatch, 0x0124)
    job = order(site, "web", ["sr"])
    site.work()
    assert site.archive.index.jobs.get(job).status == "failed"
    [row] = site.archive.index.pacs_deliveries.listed(to="web")
    assert (row.status, row.attempts) == ("failed", 1)
    assert row.failure is not None
    assert "0x0124" in row.failure["message"]


def refusing(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Let every PACS refuse what it is sent."""
    from medsiglip.ingest.pacs.records import StoreOutcome

    open_client: Callable[..., Any] = opening.open_client

    def refuse(connection: Any, spend: Any) -> Any:
        client = open_client(connection, spend)
        client.store = lambda files: [StoreOutcome(file, "1.2", status) for file in files]
        return client

    monkeypatch.setattr(opening, "open_client", refuse)


def test_a_strict_home_says_why_it_sends_nothing(
    orthanc: Orthanc, phantoms: Phantoms, tmp_path: Path
) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    picture = next(
        path
        for path in sorted(phantoms.dicom.rglob("*.dcm"))
        if pydicom.dcmread(path, specific_tags=["Modality"]).Modality in ("CR", "DX")
    )
    shutil.copy(picture, folder)
    with Archive(tmp_path / "home") as archive:
        archive.ingest([folder], phi="strict")
        [study] = archive.studies()["studies"]
        draft = archive.draft_report(study["study_instance_uid"], by="test", options={"neighbours": 0})
        archive.add_pacs("web", url=orthanc.dicomweb_url, send_accepted=["sr"])
        archive.accept_report(draft["id"], by="ann")
        with pytest.raises(ServiceError) as refused:
            archive.pacs_send(draft["id"], "web")
        assert refused.value.code == "strict-home"
        Worker(archive).run(once=True)
        [row] = archive.index.pacs_deliveries.listed()
        assert (row.status, row.failure and row.failure["code"]) == ("failed", "strict-home")


def test_what_is_forgotten_is_not_sent(site: Site) -> None:
    order(site, "web", ["sr"])
    site.archive.forget(study=site.study)
    assert site.archive.index.pacs_deliveries.listed() == []
    assert site.work().ended == {}
    assert site.documents() == {}
