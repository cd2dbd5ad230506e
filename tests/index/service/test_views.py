"""Saved views: of each key its own, bounded, and gone with the patients that they name."""

from __future__ import annotations

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service import views
from tests.index.index_cases import make_bundle, unit_vectors


def names(index: CaseIndex, owner: str = "anna") -> list[str]:
    return [one.name for one in index.views.listed(owner)]


def test_a_key_sees_changes_and_removes_its_own(index: CaseIndex) -> None:
    kept = index.views.put("anna", "CT of today", "cases", "where=modality%3DCT")
    index.views.put("anna", "All", "map", "")
    index.views.put("ben", "CT of today", "search", "text=a")
    assert index.views.listed("anna")[1] == kept
    assert names(index) == ["All", "CT of today"]
    index.views.put("anna", "CT of today", "cases", "where=modality%3DMR")
    assert [(one.page, one.query) for one in index.views.listed("anna")][1] == (
        "cases",
        "where=modality%3DMR",
    )
    index.views.remove("anna", "CT of today")
    assert (names(index), names(index, "ben")) == (["All"], ["CT of today"])
    with pytest.raises(CatalogError, match="no saved view") as failed:
        index.views.remove("anna", "CT of today")
    assert failed.value.code == "unknown-view"


def test_a_key_keeps_so_many(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_OF_A_KEY", 2)
    for name in ("a", "b"):
        index.views.put("anna", name, "cases", "")
    with pytest.raises(CatalogError) as failed:
        index.views.put("anna", "c", "cases", "")
    assert failed.value.code == "too-many-views"
    index.views.put("anna", "b", "cases", "sort=added_at")
    index.views.put("ben", "c", "cases", "")


def test_what_names_a_patient_or_study_is_forgotten_with_it(index: CaseIndex) -> None:
    index.add([make_bundle(study, 1, patient=f"patient{study}") for study in range(2)], unit_vectors(2))
    gone, stays = index.studies([])
    uid, key = gone.study_instance_uid, gone.patient_key
    kept = {
        "another": f"where=patient_key%3D{stays.patient_key}",
        "longer": f"where=study_instance_uid%3D{uid}.1",
        "words": "text=nodule+in+the+lung",
    }
    naming = {
        "of key": f"where=patient_key%3D{key}",
        "of study": f"where=modality%3DCT&study={uid}",
        "of list": f"where=study_instance_uid%3D{stays.study_instance_uid}%7C{uid}&sort=added_at",
    }
    [image] = index.images_of(uid)
    naming |= {
        "of series": f"where=series_instance_uid%3D{image.series_instance_uid}",
        "of instance": f"where=sop_instance_uid!%3D{image.sop_instance_uid}",
        f"about {uid}": "sort=added_at",
        f"{key} (again)": "",
    }
    for name, query in (kept | naming).items():
        index.views.put("anna", name, "search", query)
    index.remove_patient(key)
    left = set(names(index))
    assert left == set(kept)
