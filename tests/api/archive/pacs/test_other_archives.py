"""Reports for a PACS that does not hold their study, whose patient another PACS knows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.ledger import ask_for, names_of
from medsiglip.index.pacs.study_ledger import Settled
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs import opening
from medsiglip.ingest.pacs.records import PacsStudy
from medsiglip.ingest.privacy.deidentify import bound_key
from tests.api.archive.pacs.memory_pacs import MemoryPacs
from tests.api.conftest import Home


@dataclass
class Site:
    """A study came from `main`, and its report is to go to `other`."""

    archive: Archive
    main: MemoryPacs
    other: MemoryPacs
    report: str


@pytest.fixture
def site(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with Archive(own_home.path) as archive:
        study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
        [header] = [pydicom.dcmread(str(one.path)) for one in archive.index.images_of(study)[:1]]
        main, other = (
            MemoryPacs([PacsStudy(study, header.PatientID, patient_name="Doe^Jane")]),
            MemoryPacs([]),
        )
        pacs = {"main": main, "other": other}
        monkeypatch.setattr(opening, "open_client", lambda connection, _spend: pacs[connection.name])
        for name in pacs:
            archive.add_pacs(name, url=f"http://127.0.0.1:1/{name}")
        ask_for(archive, "main", [study])
        archive.index.pacs_studies.begin("main", study)
        names = names_of(bound_key(archive.index), study)
        archive.index.pacs_studies.settle("main", [Settled(names, "here", 1, 1)])
        report = archive.draft_report(study, by="test", options={"neighbours": 0})["id"]
        archive.accept_report(report, by="ann")
        yield Site(archive, main, other, report)


@pytest.mark.parametrize("name", [None, "DOE^JANE=\u5c71\u7530", "doe, jane"])
def test_a_patient_whom_the_other_pacs_knows_or_has_never_seen(site: Site, name: str | None) -> None:
    if name is not None:
        site.other.studies_held = [replace(site.main.study, study_instance_uid="1.2.3", patient_name=name)]
    [sent] = site.archive.pacs_send(site.report, "other").deliveries
    [document] = site.other.stored
    assert (sent.status, document.PatientID) == ("sent", site.main.study.patient_id)
    assert document.PatientName == "Doe^Jane"


@pytest.mark.parametrize("name", ["Roe^Richard", ""])
def test_an_id_that_is_of_somebody_else_there_files_nothing(site: Site, name: str) -> None:
    site.other.studies_held = [replace(site.main.study, study_instance_uid="1.2.3", patient_name=name)]
    with pytest.raises(PacsError) as refused:
        site.archive.pacs_send(site.report, "other")
    assert (refused.value.code, site.other.stored) == ("pacs-other-patient", [])
    assert not [word for word in ("Roe", "Doe", site.main.study.patient_id) if word in str(refused.value)]
    assert site.archive.pacs_connection("other").state == "ok"  # it has answered
    [row] = site.archive.index.pacs_deliveries.listed()
    assert row.status == "failed"


def test_values_that_are_none_are_left_out_and_told_to_nobody(site: Site) -> None:
    odd = replace(site.main.study, study_date="Jane Doe", study_time="10:30:59.5", accession_number="A-1")
    site.main.studies_held = [odd]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        site.archive.pacs_send(site.report, "main", formats=["sr", "pdf"])
    assert len(site.main.stored) == 2
    for one in site.main.stored:
        assert (one.StudyDate, one.StudyTime, one.AccessionNumber) == ("", "103059.5", "A-1")
