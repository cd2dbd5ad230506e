"""Evaluations over HTTP, as a client orders them: jobs with figures, and their pages."""

from __future__ import annotations

import json

import pytest

from medsiglip.client.client import ApiError
from tests.api.live_service import LiveService


def test_evaluations_are_jobs_with_pages(service: LiveService) -> None:
    with service.client() as client:
        orders = [
            client.evaluate(
                "retrieval", labels=["melanoma"], level="study", where=["modality=XC"], compare="means"
            ),
            client.evaluate("zero-shot", prompts="phantoms", labels=["melanoma"], level="study"),
            client.evaluate(
                "drift",
                reference=["modality=XC"],
                current=["modality=DX|CR|CT"],
                level="study",
                cases=1,
                permutations=99,
            ),
        ]
        retrieval, zero_shot, drift = (client.wait(job).result for job in orders)
        assert (retrieval["evaluation"], retrieval["compare"]) == ("retrieval", "means")
        assert retrieval["chance_of"]["map"] < retrieval["map"]
        assert zero_shot["labels"][0]["label"] == "melanoma"
        assert drift["differs"]
        assert len(drift["cases"]) == 2
        pages = [client.evaluation_page(job.id) for job in orders]
    assert [page.split("<h1>")[1].split("</h1>")[0] for page in pages] == [
        "Retrieval",
        "Scores of prompt set phantoms",
        "Drift",
    ]
    assert drift["cases"][0]["study_instance_uid"] in pages[2]
    with service.http() as http:
        shown = http.get(f"/v1/evaluations/{orders[0].id}/page")
        assert shown.headers["content-type"].startswith("text/html")
        assert "sandbox" in shown.headers["content-security-policy"]
    with service.client("read") as other, pytest.raises(ApiError) as hidden:
        other.evaluation_page(orders[0].id)
    assert hidden.value.code == "unknown-job"
    with service.http() as http:
        events = [json.loads(line) for line in http.get("/v1/audit").text.splitlines()]
    # By the events of the job, and by the page.
    shown_studies = [one["studies"] for one in events if one["action"] == "evaluate" and one["studies"]]
    named = {one["study_instance_uid"] for one in drift["cases"]}
    assert [set(one) for one in shown_studies[-2:]] == [named, named]
    with service.http() as http:
        assert http.get(f"/v1/jobs/{orders[2].id}").json()["result"] == drift
        events = [json.loads(line) for line in http.get("/v1/audit").text.splitlines()]
    last = [one for one in events if one["studies"]][-1]
    assert (last["action"], set(last["studies"])) == ("evaluate", named)
    assert len([one for one in events if one["studies"]]) > len(shown_studies)


@pytest.mark.long
def test_robustness_and_two_spaces_over_http(service: LiveService) -> None:
    with service.client() as client:
        job = client.evaluate(
            "robustness", prompts="phantoms", labels=["melanoma"], where=["modality=XC"], cases=10
        )
        found = client.wait(job).result
        assert (found["evaluation"], found["cases"]) == ("robustness", 10)
        assert "In one chain" in client.evaluation_page(job.id)
        ended = client.evaluate("probe", probe="none", spaces=("one", "other"))
        with pytest.raises(Exception, match="no probe"):
            client.wait(ended)
        with pytest.raises(ApiError) as unfinished:
            client.evaluation_page(ended.id)
        assert unfinished.value.code == "no-evaluation"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("bad-evaluation", {"kind": "retrieval", "prompts": "phantoms"}),
        ("bad-evaluation", {"kind": "zero-shot"}),
        ("bad-evaluation", {"kind": "drift", "reference": ["modality=XC"]}),
        ("one-of", {"kind": "robustness"}),
        ("prompt-set-unknown", {"kind": "zero-shot", "prompts": "nothing"}),
        ("bad-filter", {"kind": "drift", "reference": ["modality>"], "current": ["modality=XC"]}),
        ("bad-request", {"kind": "guess"}),
        ("bad-request", {"kind": "retrieval", "spaces": ["one"]}),
    ],
)
def test_wrong_orders_start_nothing(service: LiveService, code: str, body: dict[str, object]) -> None:
    with service.http() as http:
        refused = http.post("/v1/evaluations", json=body)
    assert refused.json()["code"] == code, refused.text
