"""The time of day of a study: read as the standard writes it, kept where dates are as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.ingest.privacy.deidentify import parse_time
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("083015.123456", "08:30:15"),
        ("083015", "08:30:15"),
        ("0830", "08:30:00"),
        ("08", "08:00:00"),
        ("08:30:15", "08:30:15"),
        ("235960", "23:59:60"),
        ("246000", None),
        ("8:30", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_a_time_is_read_as_the_standard_writes_it(text: str, time: str | None) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    ("phi", "kept"), [("pseudonymous", "08:30:15"), ("keep", "08:30:15"), ("strict", None)]
)
def test_a_strict_home_keeps_no_time(tmp_path: Path, phi: Any, kept: str | None) -> None:
    [study] = make_studies(1, 3, ["skin"])
    write_study(study, tmp_path / "dicom")
    for file in (tmp_path / "dicom").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.StudyTime = "083015.1"
        dataset.save_as(file)
    with Archive(tmp_path / "home", model="tiny") as archive:
        archive.ingest([tmp_path / "dicom"], phi=phi)
        [uid] = [one["study_instance_uid"] for one in archive.studies()["studies"]]
        assert archive.index.study(uid).study.study_time == kept
        [header] = archive.index.instances.headers_of([uid]).values()
        assert header.study_time == kept
        assert (header.added > 0, len(header.images)) == (True, 1)
