"""A probe with a calibration: its stored predictions, and its way into another home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Home


@pytest.fixture
def calibrated(many: Home) -> Home:
    """The home with a probe that learned from women, and was calibrated on men."""
    for arguments in (
        ("probe", "train", "skin", "--label", "melanoma", "--level", "study", "--where", "patient_sex=F"),
        ("calibrate", "--probe", "skin", "--method", "platt"),
    ):
        assert many.run(*arguments).code == 0
    return many


def test_stored_predictions_are_calibrated_and_go_along_in_files(calibrated: Home, tmp_path: Path) -> None:
    rows = calibrated.run("probe", "predict", "skin", "--all").json
    assert rows["calibrated"]
    scores = {one["study_instance_uid"]: one["probability"]["melanoma"] for one in rows["predictions"]}
    uid = min(scores)
    one = calibrated.run("probe", "predict", "skin", "--study", uid).json
    assert one["calibrated"]
    assert scores[uid] == pytest.approx(one["probability"]["melanoma"])
    assert calibrated.run("probe", "predict", "skin", "--all", "--store").json["calibrated"]
    limit = sorted(scores.values())[100]
    found = calibrated.run("study", "list", "--where", f"probe:skin>={limit}").json["studies"]
    assert {one["study_instance_uid"] for one in found} == {uid for uid in scores if scores[uid] >= limit}

    calibrated.run("probe", "export", "skin", "--out", tmp_path / "probe")
    other = Home(tmp_path / "other", {})
    shutil.copytree(calibrated.path, other.path)
    assert other.run("probe", "delete", "skin").code == 0
    assert not other.run("calibrate", "list").json["calibrations"]
    assert other.run("probe", "import", tmp_path / "probe", "--name", "theirs").code == 0
    [theirs] = other.run("calibrate", "list").json["calibrations"]
    [ours] = calibrated.run("calibrate", "list").json["calibrations"]
    for calibration in (theirs, ours):
        del calibration["labels"][0]["created_at"]
    assert theirs == {**ours, "subject": "probe:theirs"}
    assert other.run("probe", "predict", "theirs", "--all").json["predictions"] == [
        {**row, "trained_on": False} for row in rows["predictions"]
    ]
    assert other.run("probe", "predict", "theirs", "--study", uid).json["set"] == one["set"]


def test_a_calibration_that_cannot_be_shown_or_applied_is_refused(calibrated: Home, tmp_path: Path) -> None:
    from medsiglip.probes.exchange import packed, unpacked
    from medsiglip.probes.files import read_files, write_files

    calibrated.run("probe", "export", "skin", "--out", tmp_path / "probe")
    found = unpacked(read_files([tmp_path / "probe"]))
    [calibration] = found.about["calibrations"]

    def without(*names: str) -> dict[str, Any]:
        changed: dict[str, Any] = json.loads(json.dumps(calibration))
        part = changed["summary"]
        for name in names[:-1]:
            part = part[name]
        del part[names[-1]]
        return changed

    wrong = [without("figures"), without("figures", "n"), without("calibration"), {**calibration, "level": 7}]
    for one in [*wrong, {**calibration, "label": "other"}, {**calibration, "method": None}, "x"]:
        write_files(tmp_path / "probe", packed(found.probe, {**found.about, "calibrations": [one]}))
        refused = calibrated.run("probe", "import", tmp_path / "probe")
        assert refused.error["code"] == "probe-file-foreign", one
    assert [one["version"] for one in calibrated.run("probe", "list", "--all-versions").json["probes"]] == [1]
    assert calibrated.run("calibrate", "list").code == 0
