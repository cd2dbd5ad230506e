"""`calibrate` at the command line and over HTTP, on one home."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.client.client import ApiError, JobError
from tests.api.conftest import Home
from tests.api.labelled_studies import study_uid
from tests.api.live_service import live_service


def test_calibrate_at_the_command_line(many: Home) -> None:
    words = ("calibrate", "--prompts", "phantoms", "--label", "melanoma", "--where", "modality=XC")
    made = many.run(*words, "--level", "study", "--method", "platt", "--error", "0.2").json
    assert (made["subject"], made["level"]) == ("prompts:phantoms", "study")
    assert (made["labels"][0]["method"], made["labels"][0]["error"]) == ("platt", 0.2)
    shown = many.show(*words).out
    assert "figures of patients that the calibration was not made from" in shown
    assert "at an error bound of 0.1 sets hold the truth in" in shown
    assert many.run("calibrate", "list").json["calibrations"][0]["labels"][0]["version"] == 2
    every = many.run("calibrate", "show", "prompts:phantoms", "--all-versions").json
    assert [one["version"] for one in every["calibrations"][0]["labels"]] == [2, 1]
    assert len(many.run("calibrate", "list", "--all-versions").json["calibrations"][0]["labels"]) == 2
    assert "prompts:phantoms at study level" in many.show("calibrate", "list").out
    best = many.run("classify", "--study", study_uid(3), "--prompts", "phantoms").json["scores"][0]
    assert (best["label"], best["calibrated"]) == ("melanoma", True)
    assert best["verdict"] in ("present", "absent", "undecided", "out-of-scope")
    assert many.run("calibrate", "remove", "prompts:phantoms", "--level", "image").json["removed"] == 0
    removed = many.show("calibrate", "remove", "prompts:phantoms")
    assert removed.out == "removed 2 calibrations of prompts:phantoms\n"
    assert "no calibration is kept" in many.show("calibrate", "list").out
    assert many.run("calibrate", "show", "labels").error["code"] == "unknown-calibration"


def test_wrong_words_of_calibrate(many: Home) -> None:
    assert many.run("calibrate").error["code"] == "one-of"
    for option in (("--label", "melanoma"), ("--method", "platt"), ("--error", "0.2")):
        assert many.run("calibrate", *option, "list").code == 2
    assert many.run("calibrate", "--label", "melanoma", "--error", "0.7").error["code"] == "bad-error-bound"
    assert many.run("calibrate", "--label", "melanoma", "--method", "cubic").code == 2
    assert many.run("calibrate", "--probe", "nowhere").error["code"] == "unknown-probe"
    sets = many.run("calibrate", "--prompts", "list").json
    assert "phantoms" in str(sets)


@pytest.mark.long
def test_calibrate_over_http(many: Home, tmp_path: Path) -> None:
    with live_service(many.path, tmp_path / "service", {}) as tried, tried.client() as client:
        job = client.wait(
            client.calibrate(
                prompts="phantoms",
                labels=["melanoma"],
                level="study",
                where=["modality=XC"],
                method="platt",
                error=0.05,
            )
        )
        assert job.result is not None
        assert job.result["labels"][0]["error"] == 0.05
        [found] = client.calibrations()
        assert (found.subject, found.labels[0].method) == ("prompts:phantoms", "platt")
        assert client.calibrations("prompts:phantoms", all_versions=True) == [found]
        answer = client.classify(study=study_uid(3), prompts="phantoms")
        assert answer.best.calibrated
        assert answer.set is not None
        with pytest.raises(JobError) as failed:
            client.wait(client.calibrate(labels=["always"]))
        assert failed.value.code == "one-class-only"
        with pytest.raises(JobError) as failed:
            client.wait(client.calibrate(probe="nowhere"))
        assert failed.value.code == "unknown-probe"
        assert client.remove_calibration("prompts:phantoms", level="image").removed == 0
        assert client.remove_calibration("prompts:phantoms").removed == 1
        for wrong in ("prompts:phantoms", "labels"):
            with pytest.raises(ApiError) as refused:
                client.calibrations(wrong)
            assert refused.value.code == "unknown-calibration"
        with pytest.raises(ApiError) as refused:
            client.remove_calibration("melanoma")
        assert refused.value.code == "bad-request"
        with tried.http() as http:
            for body in ({"error": 0.07}, {"method": "cubic"}, {"level": "patient"}, {"set": "phantoms"}):
                assert http.post("/v1/calibrations", json=body).status_code == 422, body
            for body in ({}, {"prompts": "phantoms", "probe": "moles"}):
                assert http.post("/v1/calibrations", json=body).json()["code"] == "one-of", body
            answered = http.post("/v1/calibrations", json={"prompts": "nowhere"})
            assert answered.json()["code"] == "prompt-set-unknown"
            answered = http.post("/v1/calibrations", json={"labels": ["a"], "where": ["nothing=1"]})
            assert answered.json()["code"] == "bad-filter"
            assert http.get("/v1/calibrations?all_versions=true").json() == {"calibrations": []}
            assert http.get("/v1/calibrations/nothing").status_code in (404, 422)
