from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from tests.index.index_cases import images_of_file

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.fixture
def run(tmp_path: Path, model: Any, encoder: Any) -> Any:
    def run(*paths: Any, metadata: Any = None) -> Any:
        with CaseIndex.open(tmp_path / "home") as index:
            return ingest(paths, index, model, lambda: encoder, IngestOptions(metadata=metadata)).warnings

    return run


@pytest.mark.parametrize("together", [True, False])
def test_a_study_of_two_patients_is_told(tmp_path: Path, run: Any, write_dicom: Any, together: Any) -> None:
    paths = [
        write_dicom(tmp_path / f"{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"Secret{n}")
        for n in range(2)
    ]
    warnings = run(*paths) if together else run(paths[0]) + run(paths[1])
    [warning] = warnings
    assert warning.startswith("2.25.2: ")
    assert "more than one patient" in warning
    assert "Secret" not in warning
    assert run(*paths) == ()


def test_a_changed_metadata_csv_changes_classes_and_tells_what_it_cannot(tmp_path: Path, run: Any) -> None:
    for n in range(2):
        Image.fromarray(np.full((8, 8), 50 * n + np.eye(8) * 9, np.uint8)).save(tmp_path / f"{n}.png")
    csv, header = tmp_path / "meta.csv", "path,patient_id,study_id,modality,label,label:x\n"
    csv.write_text(f"{header}0.png,P1,S1,DX,a,0\n1.png,P2,S2,DX,b,\n")
    pictures = [tmp_path / "0.png", tmp_path / "1.png"]
    run(*pictures, metadata=csv)
    assert run(*pictures, metadata=csv) == ()
    csv.write_text(f"{header}0.png,P3,S1,DX,c,\n1.png,P2,S2,DX,b,\n")
    [warning] = run(*pictures, metadata=csv)
    assert warning.startswith("1 pictures are in the archive")
    assert "P3" not in warning
    with CaseIndex.open(tmp_path / "home") as index:
        labels = [images_of_file(index, str(path))[0].labels for path in pictures]
    assert labels == [{"c": 1.0, "x": 0.0}, {"b": 1.0}]
