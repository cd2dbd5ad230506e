"""A report on its way is there once, whoever is killed, and by DIMSE as well."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import text

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.connections import connection_of
from medsiglip.api.archive.pacs.delivering import order_delivery
from medsiglip.api.jobs.worker import Worker
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.opening import open_client
from tests.api.archive.pacs.cutting_proxy import CuttingProxy
from tests.api.archive.pacs.orthanc import Orthanc, needs_orthanc
from tests.api.conftest import Home
from tests.api.service_processes import Start
from tests.ingest.pacs.dimse.dimse_peers import DCMQRSCP, dcmqrscp
from tests.waiting import eventually


@pytest.fixture
def archive(own_home: Home) -> Iterator[Archive]:
    with Archive(own_home.path) as opened:
        yield opened


def accepted(archive: Archive) -> tuple[str, list[Path]]:
    """An accepted report, and the files of its study."""
    study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
    report = archive.draft_report(study, by="test", options={"neighbours": 0})["id"]
    archive.accept_report(report, by="ann")
    return str(report), [Path(str(one.path)) for one in archive.index.images_of(study)]


def let_leases_end(archive: Archive) -> None:
    with archive.index._database.write() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = created_at, not_before = created_at"))


@pytest.mark.long
@needs_orthanc
def test_a_worker_that_is_killed_while_it_sends_leaves_one_document_and_no_name(
    archive: Archive, own_home: Home, tmp_path: Path, start: Start
) -> None:
    report, files = accepted(archive)
    name = pydicom.dcmread(files[0]).PatientName.family_name
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Orthanc(tmp_path / "orthanc") as orthanc:
        orthanc.upload(files)
        proxy = CuttingProxy(orthanc.http_port, cut_after=10_000, holds=True)
        archive.add_pacs("main", url=f"http://127.0.0.1:{proxy.port}/dicom-web")
        job = archive.index.jobs.submit("pacs-send", order_delivery(archive, report, "main", ["pdf"]).job)
        worker = start("worker", "--poll", "0.1", TMPDIR=str(scratch))
        eventually(lambda: proxy.cut == 1)  # the PACS has stored it, and nobody was told
        worker.process.kill()
        worker.process.wait()
        proxy.close()
        [row] = archive.index.pacs_deliveries.listed()
        assert (row.status, row.attempts, row.failure) == ("waiting", 1, None)
        assert row.sop_instance_uid in orthanc.sops()
        left = [*scratch.rglob("*"), *own_home.path.rglob("*")]
        assert not [path for path in left if path.is_file() and name.encode() in path.read_bytes()]
        archive.add_pacs("main", url=orthanc.dicomweb_url)
        let_leases_end(archive)
        Worker(archive).run(once=True)
        assert archive.index.jobs.get(job.id).status == "done"
        [row] = archive.index.pacs_deliveries.listed()
        assert (row.status, row.attempts) == ("sent", 1)
        documents = map(pydicom.dcmread, map(io.BytesIO, orthanc.stored().values()))
        assert [one.Modality for one in documents].count("DOC") == 1


@pytest.mark.skipif(DCMQRSCP is None, reason="dcmtk is not installed")
def test_an_answer_that_is_lost_by_dimse_costs_a_question(archive: Archive, tmp_path: Path) -> None:
    report, files = accepted(archive)
    with dcmqrscp(tmp_path / "dcmtk", 1) as port:
        archive.add_pacs("main", host="127.0.0.1", port=port, ae_title="PEER", timeout_seconds=10)
        with open_client(connection_of(archive, "main")) as client:
            assert all(one.is_stored for one in client.store(files))
        proxy = CuttingProxy(port, cut_after=15_000)
        archive.add_pacs("cut", host="127.0.0.1", port=proxy.port, ae_title="PEER", timeout_seconds=10)
        with pytest.raises(PacsError) as lost:
            archive.pacs_send(report, "cut", formats=["sr", "pdf"])
        assert lost.value.may_pass
        assert proxy.cut >= 1  # once for each association that was tried
        proxy.close()
        archive.add_pacs("cut", host="127.0.0.1", port=port, ae_title="PEER", timeout_seconds=10)
        sent = archive.pacs_send(report, "cut", formats=["sr", "pdf"])
        assert {one.status for one in sent.deliveries} == {"sent"}
        held = [
            pydicom.dcmread(path) for path in (tmp_path / "dcmtk" / "PEER").glob("*") if path.suffix != ".dat"
        ]
    documents = [one for one in held if one.Modality in ("SR", "DOC")]
    assert sorted(one.SOPInstanceUID for one in documents) == sorted(
        one.sop_instance_uid for one in sent.deliveries
    )
    original = pydicom.dcmread(files[0])
    assert {(one.PatientID, one.StudyInstanceUID) for one in documents} == {
        (original.PatientID, original.StudyInstanceUID)
    }
