"""Routing rules against what exists, as a client puts them: refused, or warned of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.errors import ModelError
from medsiglip.index.label_records import LabelRecord
from medsiglip.medgemma.errors import DraftError
from tests.api.conftest import Home, Phantoms


@pytest.fixture
def archive(own_home: Home) -> Iterator[Archive]:
    with Archive(own_home.path) as opened:
        yield opened


def score(source: str, label: str, **bounds: float) -> dict[str, Any]:
    return {"scores": [{"source": source, "label": label, **bounds}]}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (score("prompts:nothing", "x", at_least=0.5), "no prompt set 'nothing'"),
        (score("probe:nothing", "x", at_least=0.5), "no probe 'nothing'"),
        (score("prompts:phantoms", "fracture", at_least=0.5), "prompts:phantoms has no label 'fracture'"),
        (
            score("prompts:phantoms", "nodule", at_least=0.8, at_most=0.2),
            "'at_least' 0.8 is above 'at_most' 0.2",
        ),
        ({"findings": ["prompts:nothing"]}, "no prompt set 'nothing'"),
        ({"modality": ["CR", "XRAY"]}, "no modality 'XRAY'"),
    ],
)
def test_what_can_never_hold_is_refused(archive: Archive, rule: dict[str, Any], named: str) -> None:
    for call in (lambda: archive.put_route("x", rule), lambda: archive.test_route("x", rule=rule)):
        with pytest.raises(DraftError) as caught:
            call()
        assert caught.value.code == "bad-route"
        assert "The route x cannot be used" in str(caught.value)
        assert named in str(caught.value)
    assert archive.routes()["routes"] == []


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"modality": ["cr", "NM"]}, "waits for NM: no series here is of that modality"),
        ({"labels": ["stroke=1"]}, "no case has that label"),
        ({"quality": ["redness=1"]}, "no image has that"),
        ({"body_part": ["TABLE"]}, "asks for 'TABLE', which no series here has"),
        (
            {"body_part": ["FOOT"], **score("prompts:phantoms", "nodule", at_least=0.5)},
            "asks for the foot, and prompts:phantoms scores nodule only on the chest",
        ),
    ],
)
def test_what_may_come_later_is_warned_of(archive: Archive, rule: dict[str, Any], named: str) -> None:
    [warning] = archive.put_route("x", rule)["warnings"]
    assert named in warning
    assert archive.route("x")["warnings"] == [warning]


def test_what_is_there_has_no_warning(archive: Archive) -> None:
    rule = {
        "modality": ["DX", "CR"],
        "body_part": ["THORAX"],
        "labels": ["melanoma=1"],
        "quality": ["near_blank=0"],
    }
    rule |= score("prompts:phantoms", "nodule", at_least=0.5, at_most=0.5)
    assert archive.put_route("x", rule)["warnings"] == []


def test_a_probe_and_its_labels_are_known(archive: Archive, phantoms: Phantoms) -> None:
    archive.train_probe("moles", labels_csv=phantoms.labels)
    labels = archive.probe("moles")["labels"]
    known = labels[0]["label"]
    archive.put_route("x", score("probe:moles", known, at_least=0.5))
    with pytest.raises(DraftError, match="probe:moles has no label 'fracture'"):
        archive.put_route("x", score("probe:moles", "fracture", at_least=0.5))
    archive.delete_probe("moles")
    [warning] = archive.route("x")["warnings"]
    assert "probe:moles, which is gone" in warning


def test_a_probe_knows_the_parts_and_ages_that_it_was_trained_on(
    archive: Archive, phantoms: Phantoms
) -> None:
    made = archive.train_probe("moles", labels_csv=phantoms.labels)
    regions, ages = made["regions"], made["ages"]
    assert set(regions) == set(ages) >= {"melanoma"}
    assert list(regions["melanoma"]) == ["skin"]
    assert 18 < ages["melanoma"][0] <= ages["melanoma"][1] < 100
    studies = {
        kind: archive.studies([f"modality={kind}"])["studies"][0]["study_instance_uid"]
        for kind in ("DX|CR", "XC")
    }
    of_mole, of_chest = (
        archive.predict_probe("moles", study=studies[kind])["warnings"] for kind in ("XC", "DX|CR")
    )
    assert any("say nothing of" in one and "probe moles" in one for one in of_chest)
    assert not any("say nothing of" in one and "melanoma" in one for one in of_mole)
    assert not any("does not fit" in one for one in of_mole)


def test_classify_answers_for_another_part_and_warns(archive: Archive) -> None:
    skin = archive.studies(["modality=XC"])["studies"][0]["study_instance_uid"]
    answer = archive.classify(study=skin, prompts="chest-xray")
    assert len(answer["scores"]) == 13
    [warning] = answer["warnings"]
    assert "The prompt set chest-xray does not fit this study" in warning
    chest = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
    assert archive.classify(study=chest, prompts="chest-xray")["warnings"] == []
    [partly] = archive.classify(study=chest, prompts="phantoms")["warnings"]
    assert "haemorrhage" in partly
    assert "pneumothorax" not in partly
    assert archive.classify(study=skin, labels=["melanoma", "mole"])["warnings"] == []
    with pytest.raises(ModelError):
        archive.classify(study=skin, prompts="nothing")


def test_an_evaluation_measures_labels_on_cases_of_their_part(archive: Archive) -> None:
    """Skin photographs that carry a label of chests do not count for it."""
    chests = {one["study_instance_uid"] for one in archive.studies(["modality=CR|DX|CT"])["studies"]}
    skin = {one["study_instance_uid"] for one in archive.studies(["modality=XC"])["studies"]}
    before = archive.evaluate_zero_shot("phantoms", labels=["nodule"])["labels"][0]
    archive.index.labels.put([LabelRecord("nodule", 1.0, "study_instance_uid", uid) for uid in skin])
    after = archive.evaluate_zero_shot("phantoms", labels=["nodule"])["labels"][0]
    assert (after["n"], after["auroc"]) == (before["n"], before["auroc"])
    assert 0 < before["n"] <= len(chests)
