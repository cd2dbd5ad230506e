"""Drafts of real files say nothing of what the pictures do not show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive

pytestmark = pytest.mark.long

FILES = (
    "dicom/ct_chest_series",
    "dicom/cxr_dx",
    "dicom/wg04",
    "dicom/pydicom",
    "dicom/pydicom-data",
    "dicom/fo-dicom",
)
ABOUT = {
    "chest": {"pleural-effusion", "pneumothorax", "cardiomegaly", "consolidation", "nodule"},
    "head": {"haemorrhage", "brain-tumour"},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Archive]:
    with Archive(tmp_path_factory.mktemp("parts") / "home", model="tiny") as opened:
        opened.ingest([test_data / folder for folder in FILES])
        yield opened


def test_a_chest_ct_shows_no_haemorrhage(archive: Archive) -> None:
    studies = archive.studies(["modality=CT", "body_part_examined=CHEST", "study_date=2007-04-25"])["studies"]
    [uid] = [one["study_instance_uid"] for one in studies]
    draft = archive.draft_report(uid, by="test")
    assert draft["study"]["region"] == "chest"
    assert {one["label"] for one in draft["findings"]} == {"pleural-effusion", "nodule"}
    assert "haemorrhage" not in draft["text"].lower()
    assert {(one["slice_number"] is not None, one["slice_count"]) for one in draft["images"]} == {(True, 30)}


@pytest.mark.parametrize("part", ["EXTREMITY", "CSPINE"])
def test_a_radiograph_of_a_limb_or_the_spine_shows_no_consolidation(archive: Archive, part: str) -> None:
    studies = archive.studies(["modality=CR", f"body_part_examined={part}"])["studies"]
    assert studies
    for study in studies:
        draft = archive.draft_report(study["study_instance_uid"], by="test")
        assert draft["findings"] == []
        assert "consolidation" not in draft["text"].lower()
        assert any("for the chest" in one for one in draft["study"]["not_scored"])


def test_no_study_has_a_finding_of_another_part(archive: Archive) -> None:
    scored = 0
    for study in archive.studies()["studies"]:
        draft = archive.draft_report(study["study_instance_uid"], by="test")
        found = {one["label"] for one in draft["findings"]}
        region = draft["study"]["region"] or ""
        for part, labels in ABOUT.items():
            if part not in region:
                assert not found & labels, (region, found)
        scored += bool(found)
    assert scored >= 10
