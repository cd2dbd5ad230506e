"""Institutions are told apart by a keyed hash, and nothing of their name is kept."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study


@pytest.fixture
def ingested(tmp_path: Path) -> Path:
    names = ["St. Quallick Hospital", "ST. QUALLICK  HOSPITAL", "Vorsten Clinic", ""]
    for number, (study, name) in enumerate(zip(make_studies(4, 3, ["skin"]), names, strict=True)):
        folder = tmp_path / "dicom" / str(number)
        write_study(study, folder)
        for file in folder.rglob("*.dcm"):
            dataset = pydicom.dcmread(file)
            dataset.InstitutionName = name
            dataset.save_as(file)
    with Archive(tmp_path / "home", model="tiny") as archive:
        archive.ingest([tmp_path / "dicom"])
    return tmp_path / "home"


def test_the_site_is_a_keyed_hash_of_the_institution(ingested: Path) -> None:
    with CaseIndex.open(ingested) as index:
        table = index.table("study")
        sites = sorted(str(one.site) for one in index.instances.attributes_of(table))
    assert len(set(sites)) == 3
    key = SecretKey.open(ingested)
    first, other = key.site("St. Quallick Hospital"), key.site("vorsten clinic")
    assert sites == sorted(["None", first, first, other])
    assert SecretKey(bytes(32)).site("Vorsten Clinic") != other
    kept = [path.read_bytes() for path in ingested.rglob("*") if path.is_file()]
    assert not any(b"Quallick" in one or b"Vorsten" in one for one in kept)


def test_cases_are_found_by_site(ingested: Path) -> None:
    with Archive(ingested, model="tiny") as archive:
        site = SecretKey.open(ingested).site("St. Quallick Hospital")
        found = archive.studies(where=[f"quality.site={site}"])
        assert len(found.studies) == 2
        assert len(archive.studies(where=["quality.site="]).studies) == 1
