"""A home is the PACS of another: what one serves by DICOMweb, the other's client finds, fetches and sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection, checked
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.http.routes.dicomweb.conftest import SERIES, STUDY, Served, made
from tests.api.live_service import LiveService
from tests.waiting import eventually


def client_of(service: LiveService, folder: Path, scope: str) -> DicomwebClient:
    token = folder / f"{scope}.token"
    token.write_text(service.keys[scope])
    return DicomwebClient(
        checked(Connection("home", "dicomweb", url=f"{service.url}/dicom-web", token_file=token))
    )


@pytest.fixture
def client(served: Served, tmp_path: Path) -> Iterator[DicomwebClient]:
    with client_of(served.service, tmp_path, "read") as opened:
        yield opened


def test_studies_and_instances_are_found(client: DicomwebClient, served: Served) -> None:
    assert client.echo().about.startswith("DICOMweb")
    with served.http() as http:
        truth = {
            row["0020000D"]["Value"][0]: row for row in http.get("/studies", params={"limit": "1000"}).json()
        }
    found = {one.study_instance_uid: one for one in client.studies(PacsQuery())}
    assert found.keys() == truth.keys()
    for uid, study in found.items():
        assert study.instances == truth[uid]["00201208"]["Value"][0]
        assert len(client.instances(uid)) == study.instances
    (one,) = client.studies(PacsQuery(study_instance_uid=STUDY, modality="CT", from_date="20240301"))
    assert one.study_date == "20240305"
    (same,) = client.studies(PacsQuery(patient_id=one.patient_id, study_instance_uid=STUDY))
    assert same == one
    assert list(client.studies(PacsQuery(study_instance_uid=STUDY, to_date="20240301"))) == []


def test_a_study_is_fetched_with_its_pixels(client: DicomwebClient, served: Served, tmp_path: Path) -> None:
    (tmp_path / "came").mkdir()
    files = list(client.retrieve(STUDY, tmp_path / "came"))
    listed = client.instances(STUDY)
    datasets = {file.SOPInstanceUID: file for file in map(pydicom.dcmread, files)}
    assert datasets.keys() <= {one.sop_instance_uid for one in listed}
    for number in (1, 2, 3):
        truth = pydicom.dcmread(served.folder / f"{number}.dcm")
        assert np.array_equal(datasets[f"{SERIES}.{number}"].pixel_array, truth.pixel_array)
    wanted = [one for one in listed if one.sop_instance_uid == f"{SERIES}.2"]
    (again,) = client.retrieve(STUDY, tmp_path / "came", wanted)
    assert pydicom.dcmread(again).SOPInstanceUID == f"{SERIES}.2"


def test_instances_are_sent(service: LiveService, tmp_path: Path) -> None:
    dataset = made(1, StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid())
    dataset.SOPInstanceUID = generate_uid()
    dataset.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    (tmp_path / "two.dcm").write_text("no instance")
    with client_of(service, tmp_path, "write") as writing:
        outcomes = writing.store([tmp_path / "two.dcm", tmp_path / "one.dcm"])
    assert [one.is_stored for one in outcomes] == [False, True]
    with client_of(service, tmp_path, "read") as reading:
        eventually(lambda: len(reading.instances(dataset.StudyInstanceUID)) == 1)


def test_keys_that_may_not(service: LiveService, tmp_path: Path) -> None:
    made(5).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    with client_of(service, tmp_path, "read") as reading:
        with pytest.raises(PacsError) as refused:
            reading.store([tmp_path / "one.dcm"])
        assert refused.value.code == "pacs-refused"
    (tmp_path / "token").write_text("wrong")
    wrong = Connection("home", "dicomweb", url=f"{service.url}/dicom-web", token_file=tmp_path / "token")
    with DicomwebClient(wrong) as reading, pytest.raises(PacsError) as refused:
        reading.echo()
    assert refused.value.code == "pacs-refused"
