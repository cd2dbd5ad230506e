"""An archive of more patients than the shared one, so that a picture that fits nothing can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.conftest import Home, run


@pytest.fixture(scope="package")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Radiographs of the chest, photographs of the skin and ultrasound, which tests must not change."""
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    folder: Path = tmp_path_factory.mktemp("varied")
    for study in make_studies(110, 31, ["chest-xray", "skin", "ultrasound"]):
        write_study(study, folder / "dicom")
    report = run("--home", folder / "home", "--json", "ingest", folder / "dicom").json
    return Home(folder / "home", report)
