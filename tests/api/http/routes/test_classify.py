"""Free labels, ways of scoring and prompt sets, asked over HTTP and by the client."""

from __future__ import annotations

from typing import Any

import pytest

from medsiglip.client.client import ApiError, Client
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService


def test_labels_exclude_each_other_where_the_client_says_so(service: LiveService, phantoms: Phantoms) -> None:
    file = min(phantoms.dicom.rglob("*.dcm"))
    study = next(iter(phantoms.by_study))
    labels = ["a mole", "no mole", "a chest"]
    with service.client() as client:
        for asked in ({"file": file}, {"study": study}):
            pairs = {one.label: one for one in client.classify(**asked, labels=labels).scores}
            assert pairs["a mole"].probability + pairs["no mole"].probability == pytest.approx(1, abs=1e-12)
            assert pairs["a mole"].calibrated is False
            exclusive = client.classify(**asked, labels=labels, exclusive=True)
            assert sum(one.probability for one in exclusive.scores) == pytest.approx(1)
        both = client.classify_files([file, file], labels=labels, exclusive=True)
        assert [sum(one.probability for one in each.scores) for each in both] == pytest.approx([1, 1])


def test_the_model_s_own_sigmoid_is_asked_for(service: LiveService, phantoms: Phantoms) -> None:
    file, study = min(phantoms.dicom.rglob("*.dcm")), next(iter(phantoms.by_study))
    with service.client() as client:
        for asked in ({"file": file}, {"study": study}):
            own = client.classify(**asked, prompts="phantoms", scoring="sigmoid")
            plain = client.classify(**asked, prompts="phantoms")
            assert (own.scoring, plain.scoring) == ("sigmoid", "protocol")
            assert {one.label: one.margin for one in own.scores} != {
                one.label: one.margin for one in plain.scores
            }
        [each] = client.classify_files([file], prompts="phantoms", scoring="sigmoid")
        assert each.scoring == "sigmoid"


def test_each_image_of_a_study_is_scored_where_that_is_asked_for(
    service: LiveService, phantoms: Phantoms
) -> None:
    study = next(iter(phantoms.by_study))
    with service.client() as client:
        answer = client.classify(study=study, prompts="phantoms", by_image=True)
        assert answer.by_image is not None
        assert answer.by_image.image_ids == tuple(one.image_id for one in client.study(study).images)
        assert client.classify(study=study, prompts="phantoms").by_image is None
    with service.http() as http:
        files = {"file": min(phantoms.dicom.rglob("*.dcm")).read_bytes()}
        refused = http.post("/v1/classify", files=files, data={"prompts": "phantoms", "by_image": "true"})
        assert (refused.status_code, refused.json()["code"]) == (422, "one-of")


def test_each_file_keeps_its_warnings(service: LiveService, phantoms: Phantoms) -> None:
    files = sorted(phantoms.dicom.rglob("*.dcm"))
    with service.client() as client:
        found = client.classify_files(files[:2], prompts="chest-xray")
        for one in found:
            unfit = {score.fits for score in one.scores} == {False}
            assert unfit == any("does not fit this picture" in warning for warning in one.warnings)


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"labels": ["a"], "exclusive": True}, 422, "one-exclusive-label"),
        ({"labels": ["a"], "scoring": "softmax"}, 422, "bad-request"),
        ({"labels": ["a"], "exclusive": "maybe"}, 422, "bad-request"),
        ({"prompts": "phantoms", "exclusive": True}, 422, "one-of"),
        ({"probe": "x", "exclusive": True}, 422, "one-of"),
        ({"probe": "x", "scoring": "sigmoid"}, 422, "one-of"),
    ],
)
def test_what_contradicts_itself_is_refused(
    service: LiveService, phantoms: Phantoms, asked: dict[str, Any], status: int, code: str
) -> None:
    body = {"study_instance_uid": next(iter(phantoms.by_study)), **asked}
    with service.http("read") as http:
        refused = http.post("/v1/classify", json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_prompt_sets_are_listed(service: LiveService) -> None:
    with service.client() as client:
        sets = {one.name: one for one in client.prompt_sets()}
        assert set(sets) == set(client.info().prompt_sets)
        assert sets["chest-xray"].regions == ("chest",)
        assert not sets["chest-xray"].exclusive
    with Client(service.url, api_key="msk_wrong") as stranger, pytest.raises(ApiError):
        stranger.prompt_sets()
