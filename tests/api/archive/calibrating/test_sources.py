"""Findings of drafts, routing rules and probes take the calibrated value where there is one."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.drafts.reports import finding_scores
from medsiglip.api.errors import ServiceError
from tests.api.conftest import Home
from tests.api.labelled_studies import STUDIES, study_uid

SOURCE = "prompts:phantoms"
UIDS = [study_uid(number) for number in range(60)]


@pytest.fixture
def archive(many: Home) -> Iterator[Archive]:
    with Archive(many.path) as opened:
        yield opened


def test_findings_have_the_probability_and_verdict_that_classify_gives(archive: Archive) -> None:
    raw = finding_scores(archive).of_studies(SOURCE, UIDS)
    assert not any(one.calibrated for theirs in raw.values() for one in theirs)
    archive.calibrate(prompts="phantoms", labels=["melanoma"])
    found = finding_scores(archive).of_studies(SOURCE, UIDS)
    present = {"present": True, "absent": False, "undecided": None}
    for uid in UIDS[:8]:
        [finding] = found[uid]
        best = archive.classify(study=uid, prompts="phantoms").best
        assert finding.calibrated
        assert finding.probability == pytest.approx(best.probability)
        if best.verdict != "out-of-scope":
            assert finding.present is present[str(best.verdict)]
    assert {found[uid][0].present for uid in UIDS} == {True, False, None}
    rule = {
        "generator": "evidence-only",
        "where": ["modality=XC"],
        "scores": [{"source": SOURCE, "label": "melanoma", "at_least": 0.5}],
    }
    sent = archive.test_route("suspicious", rule=rule).would_send
    wanted = {uid for uid in UIDS if found[uid][0].probability >= 0.5}
    assert {one.study_instance_uid for one in sent} & set(UIDS) == wanted
    assert wanted != {uid for uid in UIDS if raw[uid][0].probability >= 0.5}
    draft = archive.draft_report(UIDS[3], by="tester")
    [drafted] = [one for one in draft.findings if one.label == "melanoma"]
    assert drafted.calibrated
    assert "The scores are calibrated on known cases." in draft.text


def test_a_probe_is_calibrated_on_patients_it_has_not_seen(archive: Archive, tmp_path: Path) -> None:
    train = tmp_path / "train.csv"
    with train.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["study_instance_uid", "label:naevus"])
        writer.writerows([study_uid(number), int(number % 3 > 0)] for number in range(20, 80))
    archive.train_probe("naevus", labels_csv=train, level="study")
    with pytest.raises(ServiceError) as refused:
        archive.calibrate(probe="naevus")
    assert refused.value.code == "no-unseen-cases"
    every = tmp_path / "every.csv"
    with every.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["study_instance_uid", "label:naevus"])
        writer.writerows([study_uid(number), int(number % 3 > 0)] for number in range(STUDIES))
    archive.import_labels(every)
    uid = study_uid(100)
    before = archive.predict_probe("naevus", study=uid)
    assert before.calibrated is False
    made = archive.calibrate(probe="naevus", method="platt", error=0.2)
    assert (made.subject, made.level) == ("probe:naevus", "study")
    assert made.labels[0].patients == 60
    assert "60 patients whom the probe was trained on were left out." in made.warnings
    after = archive.predict_probe("naevus", study=uid)
    assert after.calibrated
    assert after.verdict is not None
    assert after.verdict["naevus"] in ("present", "absent", "undecided", "out-of-scope")
    assert after.probability is not None
    [finding] = finding_scores(archive).of_studies("probe:naevus", [uid])[uid]
    assert finding.calibrated
    assert finding.probability == pytest.approx(after.probability["naevus"])
    archive.train_probe("naevus", labels_csv=train, level="study")
    again = archive.predict_probe("naevus", study=uid)
    assert again.calibrated is False
    assert any("another version of the probe naevus" in one for one in again.warnings)
