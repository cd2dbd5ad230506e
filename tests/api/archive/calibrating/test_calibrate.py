"""Calibrations made from a home's labelled cases, applied to scores, listed and removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.errors import ModelError
from medsiglip.index.catalogue.spaces import known
from medsiglip.index.errors import CatalogError
from tests.api.conftest import Home
from tests.api.labelled_studies import PRESENT, STUDIES, study_uid
from tests.index.index_cases import make_bundle


@pytest.fixture
def archive(many: Home) -> Iterator[Archive]:
    with Archive(many.path) as opened:
        yield opened


def test_a_calibrated_label_is_answered_with_probability_and_verdict(archive: Archive) -> None:
    before = archive.classify(study=study_uid(3), prompts="phantoms")
    assert not any(score.calibrated or score.verdict for score in before.scores)
    assert "set" not in before
    made = archive.calibrate(prompts="phantoms", labels=["melanoma"])
    [label] = made.labels
    assert (label.label, label.version, label.n, label.positive) == ("melanoma", 1, STUDIES, 54)
    assert label.patients == 120
    assert label.error_before is not None
    assert label.error_after is not None
    assert label.error_after < label.error_before
    assert {one.of for one in label.covered} >= {"present", "absent", "present, sex F"}
    found = []
    for number in range(24):
        answer = archive.classify(study=study_uid(number), prompts="phantoms")
        best = answer.best
        assert (best.label, best.calibrated) == ("melanoma", True)
        assert answer.set is not None
        if best.verdict == "out-of-scope":  # as a few of all pictures are called
            continue
        assert best.verdict in ("present", "absent", "undecided")
        assert ("melanoma" in answer.set) == (best.verdict != "absent")
        assert not any(score.calibrated for score in answer.scores[1:])
        found.append((best.verdict, number % 3 == 0, best.probability))
    assert [one[0] for one in found if one[1]].count("absent") <= 2
    assert [one[0] for one in found if not one[1]].count("present") <= 4
    assert np.mean([one[2] for one in found]) == pytest.approx(0.35, abs=0.12)


def test_the_image_of_an_answer_is_that_of_its_first_label(archive: Archive) -> None:
    texts = [*PRESENT, "a radiograph of a pleural effusion"]
    skin, *_, chest = archive.encoder.encode_texts(texts)
    bundle = make_bundle(900, 2, pixels="two", series_fields={"modality": "XC", "body_part_examined": "SKIN"})
    archive.index.add([bundle], np.stack([skin, chest]))
    assert archive.classify(study=study_uid(900), prompts="phantoms").best.label != "melanoma"
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    answer = archive.classify(study=study_uid(900), prompts="phantoms")
    assert (answer.best.label, answer.best.calibrated) == ("melanoma", True)
    assert answer["image"]["image_id"] == answer["scores"][0]["driving"]["image_id"]


def test_versions_are_kept_and_the_newest_counts(archive: Archive) -> None:
    first = archive.calibrate(prompts="phantoms", labels=["melanoma"], method="temperature")
    second = archive.calibrate(prompts="phantoms", labels=["melanoma"], method="platt", error=0.2)
    assert [one.labels[0].version for one in (first, second)] == [1, 2]
    assert second.labels[0].method == "platt"
    assert second.labels[0].error == 0.2
    [listed] = archive.calibrations().calibrations
    assert (listed.subject, listed.active, listed.labels[0].version) == ("prompts:phantoms", True, 2)
    [every] = archive.calibration("prompts:phantoms", all_versions=True).calibrations
    assert [one.version for one in every.labels] == [2, 1]
    assert archive.remove_calibration("prompts:phantoms").removed == 2
    assert archive.calibrations().calibrations == ()
    with pytest.raises(ServiceError) as refused:
        archive.remove_calibration("prompts:phantoms")
    assert refused.value.code == "unknown-calibration"


def test_another_level_is_not_calibrated_and_says_so(archive: Archive) -> None:
    archive.calibrate(prompts="phantoms", labels=["melanoma"], level="image")
    answer = archive.classify(study=study_uid(3), prompts="phantoms")
    assert not any(score.calibrated for score in answer.scores)
    assert any("is calibrated at image level" in one for one in answer.warnings)


def test_scores_by_the_sigmoid_stay_uncalibrated(archive: Archive) -> None:
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    answer = archive.classify(study=study_uid(3), prompts="phantoms", scoring="sigmoid")
    assert not any(score.calibrated for score in answer.scores)


def test_other_texts_are_not_calibrated_and_say_so(archive: Archive) -> None:
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    records = archive.index.calibrations.of_subject("prompts:phantoms")
    changed = {one.label: (one.method, {**one.summary, "fingerprint": "other texts"}) for one in records}
    archive.index.calibrations.put(records[0].space, "prompts:phantoms", "study", changed, [])
    answer = archive.classify(study=study_uid(3), prompts="phantoms")
    assert not any(score.calibrated for score in answer.scores)
    assert any("was made for another version of prompts:phantoms" in one for one in answer.warnings)


def test_a_free_label_and_its_denial_share_one_calibration(archive: Archive) -> None:
    made = archive.calibrate(labels=["melanoma"])
    assert (made.subject, made.labels[0].label) == ("labels", "melanoma")
    answer = archive.classify(study=study_uid(3), labels=["melanoma", "no melanoma", "naevus"])
    scores = {score.label: score for score in answer.scores}
    assert scores["melanoma"].calibrated
    assert scores["no melanoma"].calibrated
    assert not scores["naevus"].calibrated
    assert scores["melanoma"].probability + scores["no melanoma"].probability == pytest.approx(1.0)
    turned = {"present": "absent", "absent": "present", "undecided": "undecided"}
    verdict = str(scores["melanoma"].verdict)
    assert scores["no melanoma"].verdict == turned.get(verdict, verdict)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({}, "one-of", "a prompt set, a probe, or free labels"),
        ({"prompts": "phantoms", "probe": "p"}, "one-of", "a prompt set, a probe"),
        ({"prompts": "nowhere"}, "prompt-set-unknown", "nowhere"),
        ({"prompts": "phantoms", "labels": ["dog"]}, "unknown-label", "no label 'dog'"),
        ({"prompts": "phantoms", "level": "series"}, "bad-level", "image or study"),
        ({"prompts": "phantoms", "labels": ["gallstones"]}, "no-labels", "no case that fits carries"),
        ({"labels": ["always"]}, "one-class-only", "All 120 patients are with the label"),
        ({"labels": ["melanoma"], "where": ["patient_sex=F"], "error": 0.02}, "too-few-cases", "at least 49"),
        ({"labels": ["melanoma"], "method": "cubic"}, "bad-method", "cubic"),
        ({"labels": ["melanoma"], "error": 0.33}, "bad-error-bound", "0.33"),
        ({"probe": "nowhere"}, "unknown-probe", "nowhere"),
    ],
)
def test_what_cannot_be_calibrated_has_its_own_message(
    labelled_home: Home, asked: dict[str, object], code: str, words: str
) -> None:
    with Archive(labelled_home.path) as archive:
        calibrate: object = archive.calibrate
        assert callable(calibrate)
        with pytest.raises((ServiceError, ModelError, CatalogError), match=words) as refused:
            calibrate(**asked)
        assert isinstance(refused.value, ServiceError | ModelError | CatalogError)
        assert refused.value.code == code
        assert archive.calibrations().calibrations == ()


def test_patients_of_the_calibration_are_left_out_of_an_evaluation(archive: Archive, many: Home) -> None:
    asked: dict[str, Any] = {"labels": ["melanoma"], "level": "study"}
    plain = archive.evaluate_zero_shot("phantoms", **asked).labels[0]
    assert not plain.calibrated
    archive.calibrate(prompts="phantoms", labels=["melanoma"], where=["patient_sex=F"])
    seen = archive.index.calibrations.patients(archive.space.name, "prompts:phantoms", "study")
    found = archive.evaluate_zero_shot("phantoms", **asked).labels[0]
    left = [number for number in range(STUDIES) if f"patient-{number % 120}" not in seen]
    assert 0 < len(seen) < 120
    assert (found.calibrated, found.n) == (True, len(left))
    assert found.calibration_error is not None
    assert found.calibration_error_ci is not None
    shown = many.show("evaluate", "zero-shot", "--prompts", "phantoms", "--label", "melanoma").out
    assert "melanoma: calibrated, expected calibration error" in shown
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    every = archive.evaluate_zero_shot("phantoms", **asked)
    assert (every.labels[0].calibrated, every.labels[0].n) == (False, STUDIES)
    assert any("is one whose cases its calibration was made from" in one for one in every.warnings)


def test_a_calibration_of_another_space_is_not_used_and_says_so(archive: Archive) -> None:
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    [made] = archive.index.calibrations.of_subject("prompts:phantoms")
    archive.remove_calibration("prompts:phantoms")
    other = replace(archive.space, profile="hf-processor")
    with archive.index._database.write() as connection:
        known(connection, other)
    kept = {"melanoma": (made.method, made.summary)}
    archive.index.calibrations.put(other.name, "prompts:phantoms", "study", kept, [])
    [listed] = archive.calibrations().calibrations
    assert (listed.space, listed.active) == (other.name, False)
    answer = archive.classify(study=study_uid(3), prompts="phantoms")
    assert not any(score.calibrated for score in answer.scores)
    assert any("was calibrated in another space" in one for one in answer.warnings)
