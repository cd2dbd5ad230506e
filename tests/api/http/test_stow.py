"""STOW-RS from independent senders: dicomweb-client, and Orthanc's DICOMweb plugin."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from medsiglip.client.client import Client
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService
from tests.waiting import eventually

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


def renamed(phantoms: Phantoms, number: int) -> pydicom.Dataset:
    """A phantom with UIDs that no archive has yet."""
    files = sorted(phantoms.dicom.rglob("*.dcm"))
    dataset = pydicom.dcmread(files[number])
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def found(client: Client, study: str) -> bool:
    return any(one.study_instance_uid == study for one in client.studies())


@pytest.fixture
def client(service: LiveService) -> Iterator[Client]:
    with service.client() as made:
        yield made


def test_dicomweb_client_stores_instances(service: LiveService, client: Client, phantoms: Phantoms) -> None:
    api = pytest.importorskip("dicomweb_client.api")
    pacs = api.DICOMwebClient(
        f"{service.url}/dicom-web", headers={"Authorization": f"Bearer {service.keys['write']}"}
    )
    sent = [renamed(phantoms, number) for number in (0, 1)]
    answer = pacs.store_instances(sent)
    assert [one.ReferencedSOPInstanceUID for one in answer.ReferencedSOPSequence] == [
        one.SOPInstanceUID for one in sent
    ]
    assert "FailedSOPSequence" not in answer
    for one in sent:
        eventually(partial(found, client, one.StudyInstanceUID))
    again = pacs.store_instances(sent[:1], study_instance_uid=sent[0].StudyInstanceUID)
    assert len(again.ReferencedSOPSequence) == 1
    with pytest.raises(Exception, match="409"):
        pacs.store_instances(sent[:1], study_instance_uid="1.2.3")


def test_instances_without_an_image_are_refused_by_sop_class(
    service: LiveService, phantoms: Phantoms
) -> None:
    picture, document = renamed(phantoms, 0), renamed(phantoms, 1)
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = pydicom.uid.BasicTextSRStorage
    document.Modality = "SR"
    del document.PixelData
    answer = send(service, [as_bytes(picture), as_bytes(document), b"no DICOM at all"])
    assert answer.status_code == 202
    module = answer.json()
    assert answer.headers["content-type"] == "application/dicom+json"
    failed = module["00081198"]["Value"]
    assert failed[0]["00081155"]["Value"] == [document.SOPInstanceUID]
    assert [one["00081197"]["Value"] for one in failed] == [[0x0122], [0xC000]]
    assert [one["00081155"]["Value"] for one in module["00081199"]["Value"]] == [[picture.SOPInstanceUID]]
    assert answer.headers["link"].startswith("</v1/jobs/")
    assert send(service, [b"nothing"]).status_code == 409


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=b'}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 415),
        ({"Accept": "application/dicom+xml"}, 406),
    ],
)
def test_unsupported_media_types(service: LiveService, headers: dict[str, str], status: int) -> None:
    before = service.left_over()
    assert send(service, [b"x"], headers).status_code == status
    assert service.left_over() == before


def as_bytes(dataset: pydicom.Dataset) -> bytes:
    from io import BytesIO

    written = BytesIO()
    pydicom.dcmwrite(written, dataset)
    return written.getvalue()


def send(service: LiveService, parts: list[bytes], headers: dict[str, str] | None = None) -> httpx.Response:
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
    usual = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    with service.http("write") as http:
        return http.post(
            "/dicom-web/studies", content=body + b"--b--\r\n", headers={**usual, **(headers or {})}
        )


@pytest.mark.skipif(ORTHANC is None or not PLUGIN.exists(), reason="Orthanc with DICOMweb is not installed")
def test_orthanc_sends_a_study(
    service: LiveService, client: Client, phantoms: Phantoms, tmp_path: Path
) -> None:
    dataset = renamed(phantoms, 2)
    with orthanc(service, tmp_path) as pacs:
        stored = pacs.post("/instances", content=as_bytes(dataset)).raise_for_status().json()
        sent = pacs.post("/dicom-web/servers/medsiglip/stow", json={"Resources": [stored["ParentStudy"]]})
        assert sent.status_code == 200, sent.text
    eventually(lambda: found(client, dataset.StudyInstanceUID))


class orthanc:  # noqa: N801  (used as a context manager)
    """An Orthanc server that has the service as a DICOMweb server."""

    def __init__(self, service: LiveService, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            dicom_port = probe.getsockname()[1]
        configuration = {
            "HttpPort": self.port,
            "DicomPort": dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "StorageDirectory": str(folder / "orthanc"),
            "IndexDirectory": str(folder / "orthanc"),
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {
                "Enable": True,
                "Servers": {
                    "medsiglip": {
                        "Url": f"{service.url}/dicom-web/",
                        "HttpHeaders": {"Authorization": f"Bearer {service.keys['write']}"},
                    }
                },
            },
        }
        self.file = folder / "orthanc.json"
        self.file.write_text(json.dumps(configuration))
        self.log = folder / "orthanc.log"

    def __enter__(self) -> httpx.Client:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([str(ORTHANC), str(self.file)], stdout=log, stderr=log)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        eventually(self._answers)
        return self.http

    def _answers(self) -> bool:
        try:
            return self.http.get("/system").is_success
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(30)
