"""Orthanc, as a client of DICOMweb, looks up a study here and retrieves it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.api.http.routes.dicomweb.conftest import SERIES, STUDY, Served
from tests.api.http.test_stow import ORTHANC, PLUGIN, orthanc


class reader(orthanc):  # noqa: N801  (used as a context manager)
    """One that may read."""

    def __init__(self, served: Served, folder: Path) -> None:
        super().__init__(served.service, folder)
        configuration = json.loads(self.file.read_text())
        headers = configuration["DicomWeb"]["Servers"]["medsiglip"]["HttpHeaders"]
        headers["Authorization"] = f"Bearer {served.service.keys['read']}"
        self.file.write_text(json.dumps(configuration))


@pytest.mark.skipif(ORTHANC is None or not PLUGIN.exists(), reason="Orthanc with DICOMweb is not installed")
def test_orthanc_retrieves_a_series(served: Served, tmp_path: Path) -> None:
    with reader(served, tmp_path) as pacs:
        asked = {"Uri": "/studies", "Arguments": {"StudyInstanceUID": STUDY}}
        listed = pacs.post("/dicom-web/servers/medsiglip/get", json=asked)
        assert [row["0020000D"]["Value"] for row in listed.json()] == [[STUDY]]
        resources = {"Resources": [{"Study": STUDY, "Series": SERIES}]}
        retrieved = pacs.post("/dicom-web/servers/medsiglip/retrieve", json=resources)
        assert retrieved.status_code == 200, retrieved.text
        held = pacs.get("/instances").json()
        assert len(held) == 3
        files = [pydicom.dcmread(io.BytesIO(pacs.get(f"/instances/{one}/file").content)) for one in held]
    for file in files:
        truth = pydicom.dcmread(served.folder / f"{file.InstanceNumber}.dcm")
        assert np.array_equal(file.pixel_array, truth.pixel_array)
        assert file.PatientID != truth.PatientID
