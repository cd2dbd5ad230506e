"""Stored calibrations have versions, belong to a space, and forget patients."""

from __future__ import annotations

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

SUBJECT = "prompts:chest-xray"


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    for study in (1, 2):
        index.add([make_bundle(study, 1, patient=f"patient-{study}")], unit_vectors(1, study))
    return index


def put(index: CaseIndex, level: str = "study", **slopes: float) -> int:
    labels = {label: ("platt", {"slope": slope}) for label, slope in slopes.items()}
    return index.calibrations.put(SPACE.name, SUBJECT, level, labels, ["patient-1", "patient-2"])


def test_the_newest_of_each_label_counts(filled: CaseIndex) -> None:
    assert put(filled, oedema=1.0, nodule=2.0) == 1
    assert put(filled, nodule=3.0) == 2
    assert put(filled, "image", nodule=4.0) == 1
    found = filled.calibrations.of_subject(SUBJECT)
    assert [(one.level, one.label, one.version, one.summary["slope"]) for one in found] == [
        ("image", "nodule", 1, 4.0),
        ("study", "nodule", 2, 3.0),
        ("study", "oedema", 1, 1.0),
    ]
    assert {one.space for one in found} == {SPACE.name}
    assert filled.calibrations.of_subject("prompts:another") == []
    assert len(filled.calibrations.listed()) == 3
    every = filled.calibrations.listed(all_versions=True)
    assert [(one.level, one.label, one.version) for one in every] == [
        ("image", "nodule", 1),
        ("study", "nodule", 2),
        ("study", "nodule", 1),
        ("study", "oedema", 1),
    ]


def test_removing_takes_every_version(filled: CaseIndex) -> None:
    put(filled, nodule=1.0)
    put(filled, nodule=2.0)
    put(filled, "image", nodule=3.0)
    assert filled.calibrations.remove(SUBJECT, "study") == 2
    assert [one.level for one in filled.calibrations.listed()] == ["image"]
    assert filled.calibrations.remove(SUBJECT) == 1
    assert filled.calibrations.remove(SUBJECT) == 0
    assert not filled.calibrations.patients(SPACE.name, SUBJECT, "image")


def test_a_calibration_of_another_space_is_refused(filled: CaseIndex) -> None:
    with pytest.raises(CatalogError) as refused:
        filled.calibrations.put("another", SUBJECT, "study", {}, [])
    assert refused.value.code == "space-mismatch"


def test_forgotten_patients_leave_the_lists(filled: CaseIndex) -> None:
    put(filled, nodule=1.0)
    assert filled.calibrations.patients(SPACE.name, SUBJECT, "study") == {"patient-1", "patient-2"}
    filled.remove_patient("patient-1")
    assert filled.calibrations.patients(SPACE.name, SUBJECT, "study") == {"patient-2"}
    assert [one.label for one in filled.calibrations.listed()] == ["nodule"]
