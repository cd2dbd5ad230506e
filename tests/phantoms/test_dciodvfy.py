"""Every kind of phantom, judged by dciodvfy of dicom3tools, which knows the modules of PS3.3."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from medsiglip.phantoms.catalogue import ANATOMIES, make_studies
from medsiglip.phantoms.dicom import write_study
from medsiglip.phantoms.dicom_modules import SOP_CLASSES
from tests.dciodvfy import dciodvfy

# Mammographs write CC and MLO, which are no defined terms of View Position (PS3.3 C.8.11.5), and cameras
# SKIN, which is none of Body Part Examined (PS3.16 L).
_EXPECTED_WARNINGS = {
    "Warning - Unrecognized defined term <MLO> for value 1 of attribute <View Position>",
    "Warning - Unrecognized defined term <CC> for value 1 of attribute <View Position>",
    "Warning - Unrecognized defined term <SKIN> for value 1 of attribute <Body Part Examined>",
}


@pytest.mark.long(every=3)
@pytest.mark.parametrize("kind", ANATOMIES)
def test_no_phantom_breaks_its_iod(kind: str, tmp_path: Path) -> None:
    modalities = set()
    for study in make_studies(12, 11, [kind]):
        paths = write_study(study, tmp_path)
        for path in {paths[0], paths[-1]}:
            lines = dciodvfy(path)
            assert not [line for line in lines if line.startswith("Error")]
            assert {line for line in lines if line.startswith("Warning")} <= _EXPECTED_WARNINGS
            modalities.add(pydicom.dcmread(path, stop_before_pixels=True).Modality)
    assert modalities <= set(SOP_CLASSES)
    assert modalities


def test_dciodvfy_does_see_a_missing_attribute(tmp_path: Path) -> None:
    [study] = make_studies(1, 11, ["fundus"])
    [path] = write_study(study, tmp_path)
    dataset = pydicom.dcmread(path)
    del dataset.AcquisitionTimeSynchronized
    dataset.save_as(path)
    assert any(line.startswith("Error") and "AcquisitionTimeSynchronized" in line for line in dciodvfy(path))
