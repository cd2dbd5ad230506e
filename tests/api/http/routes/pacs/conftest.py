"""A service with its worker beside a real Orthanc, whose studies name people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
import pytest

from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from tests.api.archive.pacs.orthanc import Orthanc, Setup, needs_orthanc
from tests.api.conftest import Home
from tests.api.live_service import LiveService, live_service

NAMES = ("Quellmann^Anna", "Müller^Jörg", "山田^太郎", "Ιωάννης^Δοε")
"""Of the patients in the PACS, one for each study."""


@dataclass(frozen=True)
class Held:
    """A study of the PACS, as its files were written."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    accession_number: str
    study_date: str
    instances: int


@dataclass(frozen=True)
class Beside:
    """A service, the PACS beside it as `main` (DICOMweb) and `old` (DIMSE), and what that holds.

    Keys of the scope `write` may also read.
    """

    service: LiveService
    orthanc: Orthanc
    held: tuple[Held, ...]

    def traces(self) -> list[str]:
        """The words of the patients that lie in the service's catalogue or logs."""
        files = [*self.service.home.glob("catalog.db*"), *self.service.home.parent.glob("*.log")]
        written = b"".join(one.read_bytes() for one in files)
        words = {part for one in self.held for part in one.patient_name.split("^")}
        words |= {one.patient_id for one in self.held} | {one.accession_number for one in self.held}
        forms = {word: (word, json.dumps(word)[1:-1]) for word in words}
        return sorted(word for word, texts in forms.items() if any(one.encode() in written for one in texts))


def fill(orthanc: Orthanc, folder: Path, names: tuple[str, ...], seed: int) -> tuple[Held, ...]:
    """Store a study for each name."""
    held = []
    for number, (study, name) in enumerate(zip(make_studies(len(names), seed, ["skin"]), names, strict=True)):
        files = write_study(study, folder / str(number))
        for file in files:
            dataset = pydicom.dcmread(file)
            dataset.SpecificCharacterSet = "ISO_IR 192"
            dataset.PatientName, dataset.PatientID = name, f"person-{seed}-{number}"
            dataset.AccessionNumber = f"acc-{seed}-{number}"
            dataset.save_as(file)
        assert len(orthanc.upload(files)) == len(files)
        told = pydicom.dcmread(files[0], stop_before_pixels=True)
        held.append(
            Held(
                str(told.StudyInstanceUID),
                f"person-{seed}-{number}",
                name,
                f"acc-{seed}-{number}",
                str(told.StudyDate),
                len(files),
            )
        )
    return tuple(held)


@pytest.fixture(scope="module")
def beside(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """The service and the PACS; tests bring different studies in."""
    if needs_orthanc.args[0]:
        pytest.skip("Orthanc with DICOMweb is not installed")
    folder = tmp_path_factory.mktemp("pacs")
    with Orthanc(folder / "orthanc", Setup()) as orthanc:
        held = fill(orthanc, folder / "files", NAMES, 77)
        with live_service(home.path, folder / "service", {}) as service:
            with service.client() as admin:
                writer = admin.create_key("writer", ["read", "write"]).key
                service = replace(service, keys={**service.keys, "write": writer})
                admin.add_pacs("main", url=orthanc.dicomweb_url)
                admin.add_pacs("old", host="127.0.0.1", port=orthanc.dicom_port, ae_title=orthanc.ae_title)
            yield Beside(service, orthanc, held)
