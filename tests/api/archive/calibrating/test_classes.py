"""Calibrations of classes that exclude each other, and which of several calibrations an answer takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.drafts.reports import finding_scores
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.calibration.class_calibration import ClassCalibration
from medsiglip.errors import ModelError
from tests.api.conftest import Home
from tests.api.labelled_studies import ABSENT, PRESENT, STUDIES, study_uid
from tests.index.index_cases import make_bundle

F, M = "patient_sex=F", "patient_sex=M"
CLASSES = ("alpha", "beta")


@pytest.fixture
def archive(many: Home) -> Iterator[Archive]:
    with Archive(many.path) as opened:
        yield opened


def test_classes_of_a_prompt_set_are_calibrated_together(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "kinds.toml"
    texts = f"alpha = {list(PRESENT)}\nbeta = {list(ABSENT)}\n"
    path.write_text(f'kind = "classes"\n[prompts]\n{texts}', encoding="utf-8")
    prompts = str(path)
    made = archive.calibrate(prompts=prompts, where=[F], method="temperature")
    assert (made.subject, [one.label for one in made.labels]) == ("prompts:kinds", ["*"])
    assert made.labels[0].set_size is not None
    [stored] = archive.index.calibrations.of_subject("prompts:kinds")
    kept = ClassCalibration.from_json(stored.summary["calibration"])
    held = []
    for number in range(0, 24, 2):
        answer = archive.classify(study=study_uid(number), prompts=prompts)
        margins = {one.label: one.margin for one in answer.scores}
        logits = np.array([[margins[label] for label in CLASSES]], np.float64)
        given = {one.label: one.probability for one in answer.scores}
        assert [given[label] for label in CLASSES] == pytest.approx(kept.probability(logits)[0].tolist())
        assert all(one.calibrated for one in answer.scores)
        assert answer.set is not None
        held.append(("alpha" if number % 3 == 0 else "beta") in answer.set)
        verdicts = {one.label: one.verdict for one in answer.scores}
        if "out-of-scope" not in verdicts.values():
            only = "present" if len(answer.set) == 1 else "undecided"
            assert verdicts == {one: only if one in answer.set else "absent" for one in CLASSES}
    assert np.mean(held) > 0.7
    found = archive.evaluate_zero_shot(prompts, level="study")
    assert [(one.label, one.calibrated, one.n) for one in found.labels] == [
        ("alpha", True, STUDIES // 2),
        ("beta", True, STUDIES // 2),
    ]
    with pytest.raises(ModelError) as refused:
        archive.calibrate(prompts=prompts, method="platt")
    assert refused.value.code == "bad-method"
    assert "outdated" not in archive.calibration("prompts:kinds").calibrations[0]


def test_classes_of_a_probe_are_calibrated_on_patients_it_has_not_seen(archive: Archive) -> None:
    def train() -> None:
        plan = ProbePlan(exclusive=True)
        archive.train_probe("kinds", labels=CLASSES, level="study", where=[F], plan=plan)

    train()
    made = archive.calibrate(probe="kinds", method="temperature", error=0.2)
    assert (made.labels[0].label, made.labels[0].patients) == ("*", 60)
    everywhere = archive.predict_all("kinds", store=True)
    assert everywhere.calibrated
    uids = [study_uid(number) for number in (1, 3, 5)]  # a draft asks the probe about women alone
    for uid in uids:
        one = archive.predict_probe("kinds", study=uid)
        assert one.calibrated
        assert one.probability is not None
        assert sum(one.probability.values()) == pytest.approx(1.0)
        assert one.set
        findings = finding_scores(archive).of_studies("probe:kinds", [uid])[uid]
        assert {each.label: each.probability for each in findings} == pytest.approx(one.probability)
        above = archive.studies(where=["probe:kinds/alpha>0.5"])
        is_above = uid in {each.study_instance_uid for each in above.studies}
        assert is_above == (one.probability["alpha"] > 0.5)
    [listed] = archive.calibrations().calibrations
    assert listed.outdated is False
    train()
    [listed] = archive.calibrations().calibrations
    assert listed.outdated is True
    assert "is not used" in listed.warnings[0]
    assert not archive.predict_probe("kinds", study=uids[0]).calibrated


def test_the_newest_calibration_of_the_same_words_counts(archive: Archive) -> None:
    archive.calibrate(labels=["melanoma"], error=0.1)
    newer = archive.calibrate(labels=["Melanoma"], where=[F], method="platt", error=0.3)
    assert newer.labels[0].version == 2
    [kept] = [one for one in archive.index.calibrations.of_subject("labels") if one.version == 2]
    line = kept.summary["calibration"]["calibration"]
    for asked in ("melanoma", "Melanoma"):
        best = archive.classify(study=study_uid(3), labels=[asked]).best
        assert best.margin is not None
        wanted = 1 / (1 + np.exp(-line["slope"] * best.margin - line["intercept"]))
        assert best.probability == pytest.approx(wanted)
    changed = {one.label: (one.method, {**one.summary, "fingerprint": "other texts"}) for one in [kept]}
    archive.index.calibrations.put(kept.space, "labels", "study", changed, [])
    [listed] = archive.calibration("labels").calibrations
    assert listed.outdated is True
    assert "The calibration of Melanoma was made for another version of labels" in listed.warnings[0]


def test_the_image_of_an_answer_is_that_of_its_first_score(archive: Archive) -> None:
    archive.calibrate(labels=["melanoma"])
    vectors = archive.encoder.encode_texts(["melanoma", "gallstones"])
    archive.index.add([make_bundle(900, 2, series_fields={"modality": "XC"})], vectors)
    answer = archive.classify(study=study_uid(900), labels=["melanoma", "gallstones"])
    assert [one.calibrated for one in answer.scores] == [True, False]
    driving = [one.driving.image_id for one in answer.scores if one.driving is not None]
    assert len(set(driving)) == 2
    assert answer.image is not None
    assert answer.image.image_id == driving[0]
