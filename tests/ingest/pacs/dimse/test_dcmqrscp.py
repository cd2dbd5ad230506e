"""dcmtk's archive: asked, fetched from by C-GET and C-MOVE, and sent to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.client import DimseClient
from medsiglip.ingest.pacs.records import PacsQuery
from tests.ingest.pacs.dimse.dimse_peers import DCMQRSCP, connection_to, dcmqrscp, storing
from tests.ingest.pacs.instances import instance

pytestmark = pytest.mark.skipif(DCMQRSCP is None, reason="dcmtk is not installed")
SENT = [("1.2.3.1", 1), ("1.2.3.1", 2), ("1.2.3.2", 1)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    made = []
    for study, number in SENT:
        made.append(folder / f"{study}-{number}.dcm")
        made[-1].write_bytes(instance(study, number, StudyDate="20200102", StudyID="1"))
    return made


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("received")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, received: Path) -> Iterator[int]:
    with storing(received) as destination, dcmqrscp(tmp_path_factory.mktemp("peer"), destination) as port:
        yield port


def test_what_is_sent_is_found_and_comes_back(port: int, files: list[Path], tmp_path: Path) -> None:
    with DimseClient(connection_to(port)) as client:
        assert "DCMTK" in client.echo().about
        assert all(one.is_stored for one in client.store(files))
        found = {one.study_instance_uid for one in client.studies(PacsQuery(patient_name="doe*"))}
        found |= {one.study_instance_uid for one in client.studies(PacsQuery(from_date="20200102"))}
        assert found == {"1.2.3.1", "1.2.3.2"}
        assert len(list(client.studies(PacsQuery(limit=1)))) == 1
        held = client.instances("1.2.3.1")
        assert {one.sop_instance_uid for one in held} == {"1.2.3.1.4.1", "1.2.3.1.4.2"}
        # The list does not say the class: that which the modality most often has is tried first.
        assert {one.sop_class_uid for one in held} == {""}
        got = {path.read_bytes()[-256:] for path in client.retrieve("1.2.3.1", tmp_path)}
        assert got == {path.read_bytes()[-256:] for path in files[:2]}
        one = list(client.retrieve("1.2.3.1", tmp_path, held[:1]))
        assert held[0].sop_instance_uid in {
            str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in one
        }


def test_a_move_goes_to_the_receiver(port: int, files: list[Path], received: Path, tmp_path: Path) -> None:
    options = {**connection_to(port).to_json(), "retrieve": "move", "move_destination": "MEDSIGLIP"}
    with DimseClient(Connection.from_json("pacs", options)) as client:
        client.store(files)
        assert list(client.retrieve("1.2.3.1", tmp_path)) == []
    assert {path.name for path in received.iterdir()} == {"1.2.3.1.4.1.dcm", "1.2.3.1.4.2.dcm"}
    for path, sent in zip(sorted(received.iterdir()), files, strict=False):
        assert path.read_bytes()[-256:] == sent.read_bytes()[-256:]
