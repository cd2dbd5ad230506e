"""A real PACS that several tests of a module ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.ingest.pacs.connection import Connection, checked
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from tests.api.archive.pacs.orthanc import Orthanc, Setup


@pytest.fixture(scope="module")
def guarded_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One that asks for a name and a password, which `connection_to` gives."""
    # By itself Orthanc answers in Latin-1, and leaves out of names what that does not have.
    setup = Setup(users={"reader": "secret"}, options={"DefaultEncoding": "Utf8", "StableAge": 3600})
    with Orthanc(tmp_path_factory.mktemp("orthanc"), setup) as orthanc:
        (orthanc.folder / "password").write_text("secret\n")
        yield orthanc


def connection_to(orthanc: Orthanc) -> Connection:
    """The connection to `guarded_orthanc`."""
    return checked(
        Connection(
            "orthanc",
            "dicomweb",
            url=orthanc.dicomweb_url,
            changes_url=orthanc.url,
            username="reader",
            password_file=orthanc.folder / "password",
        )
    )


@pytest.fixture
def client(guarded_orthanc: Orthanc) -> Iterator[DicomwebClient]:
    """A client of `guarded_orthanc`."""
    with DicomwebClient(connection_to(guarded_orthanc)) as opened:
        yield opened


@pytest.fixture(scope="session")
def real_instances(test_data: Path) -> list[Path]:
    """All DICOM files of the shared data."""
    return sorted((test_data / "dicom").rglob("*.dcm"))
