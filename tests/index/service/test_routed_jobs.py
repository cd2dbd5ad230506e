"""The jobs of routing rules: dropped with their rule, shown and ordered again where they failed."""

from __future__ import annotations

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.routing_rules import Budget, RoutedJob, RoutingRule
from tests.index.index_cases import make_bundle, unit_vectors

JOB = RoutedJob("report", {"route": "chest"})


def put(index: CaseIndex, *, enabled: bool = True) -> RoutingRule:
    return index.routing_rules.put("chest", {"where": []}, enabled=enabled, priority=0, whole_archive=True)


def add_studies(index: CaseIndex, *numbers: int) -> None:
    index.add([make_bundle(number, 1) for number in numbers], unit_vectors(len(numbers), numbers[0]))


def send(index: CaseIndex, rule: RoutingRule, budget: Budget | None = None) -> list[str]:
    """The studies that the rule sends now."""
    candidates = index.routing_rules.candidates(rule.name, again=True)
    decided = index.routing_rules.decide(rule, candidates, candidates.study_instance_uids, JOB, budget)
    return [one.study_instance_uid for one in decided if one.outcome == "sent"]


def statuses(index: CaseIndex) -> dict[str, list[str]]:
    """The statuses of the jobs of each study, the oldest job first."""
    found: dict[str, list[str]] = {}
    for job in reversed(index.jobs.listed(limit=100)):
        found.setdefault(job.parameters["study_instance_uid"], []).append(job.status)
    return found


def test_a_removed_rule_drops_what_waits_and_remembers_what_it_sent(index: CaseIndex) -> None:
    add_studies(index, 1, 2, 3)
    assert len(send(index, put(index))) == 3
    done = index.jobs.claim("worker", ["report"])
    assert done is not None
    index.jobs.finish(done, {})
    running = index.jobs.claim("worker", ["report"])
    assert running is not None
    assert index.routing_rules.remove("chest") == 1
    with pytest.raises(CatalogError, match="no route 'chest'; the routes are none"):
        index.routing_rules.get("chest")
    assert index.routing_rules.listed() == []
    counted = sorted(status for of_study in statuses(index).values() for status in of_study)
    assert counted == ["cancelled", "done", "running"]
    [dropped] = [job for job in index.jobs.listed() if job.status == "cancelled"]
    assert dropped.error is not None
    assert dropped.error["code"] == "route-removed"
    assert index.jobs.finish(running, {})

    sent = send(index, put(index))
    assert sent == [dropped.parameters["study_instance_uid"]]
    assert send(index, index.routing_rules.get("chest")) == []
    assert sorted(map(len, statuses(index).values())) == [1, 1, 2]


@pytest.mark.parametrize("limit", ["per_hour", "per_day"])
def test_removing_and_adding_a_rule_resets_no_budget(index: CaseIndex, limit: str) -> None:
    add_studies(index, 1, 2, 3, 4)
    budget = Budget(**{limit: 2})
    assert len(send(index, put(index), budget)) == 2
    for _ in range(2):
        job = index.jobs.claim("worker", ["report"])
        assert job is not None
        index.jobs.finish(job, {})
    for _ in range(3):
        index.routing_rules.remove("chest")
        assert send(index, put(index), budget) == []
    assert send(index, index.routing_rules.get("chest"), Budget(total=3)) == ["2.25.3"]
    index.routing_rules.remove("chest")
    assert len(send(index, put(index), Budget(total=3))) == 1, "the one that was dropped, within the total"
    assert {len(jobs) for jobs in statuses(index).values()} == {1, 2}
    index.routing_rules.remove("chest")
    assert send(index, put(index), Budget(per_day=3)) == [], "what was dropped counts until its day is over"


def test_a_disabled_rule_drops_what_waits(index: CaseIndex) -> None:
    add_studies(index, 1, 2)
    send(index, put(index))
    put(index, enabled=False)
    assert statuses(index) == {"2.25.1": ["cancelled"], "2.25.2": ["cancelled"]}
    assert [one.outcome for one in index.routing_rules.decisions("chest")] == ["held", "held"]
    assert len(send(index, put(index))) == 2
    assert statuses(index) == {uid: ["cancelled", "queued"] for uid in ("2.25.1", "2.25.2")}


def test_jobs_that_no_rule_ordered_stay(index: CaseIndex) -> None:
    add_studies(index, 1)
    send(index, put(index))
    other = index.jobs.submit("report", {"route": "chest", "study_instance_uid": "2.25.1"})
    ingest = index.jobs.submit("ingest", {"paths": []})
    index.routing_rules.remove("chest")
    assert {index.jobs.get(one.id).status for one in (other, ingest)} == {"queued"}


def test_what_failed_is_shown_and_sent_again_once(index: CaseIndex) -> None:
    add_studies(index, 1, 2, 3)
    rule = put(index)
    send(index, rule, Budget(total=3))
    lost = []
    for _ in range(2):
        job = index.jobs.claim("worker", ["report"])
        assert job is not None
        index.jobs.fail(job, {"code": "generator-key", "message": "Give it a key."})
        lost.append(job.parameters["study_instance_uid"])
    routes = index.routing_rules
    assert routes.standing_counts() == {("chest", "waiting"): 1, ("chest", "failed"): 2}
    failed = routes.drafts("chest", "failed", 10)
    assert [one.study_instance_uid for one in failed] == sorted(lost)
    assert {one.error["code"] for one in failed if one.error} == {"generator-key"}
    assert len(routes.drafts("chest", "failed", 1)) == 1

    assert routes.resend_failed(rule, JOB) == 2
    assert routes.resend_failed(rule, JOB) == 0
    assert routes.standing_counts() == {("chest", "waiting"): 3}
    assert statuses(index)[lost[0]] == ["failed", "queued"]
    assert send(index, rule, Budget(total=3)) == []


def test_a_failed_job_whose_draft_is_there_is_not_sent_again(index: CaseIndex) -> None:
    add_studies(index, 1)
    rule = put(index)
    send(index, rule)
    job = index.jobs.claim("worker", ["report"])
    assert job is not None
    index.drafts.add(
        job.id, "2.25.1", route="chest", generator="g", text="t", payload={}, cited=[], by="route:chest"
    )
    index.jobs.fail(job, {"code": "worker-lost", "message": "Look into its log."})
    assert index.routing_rules.resend_failed(rule, JOB) == 0
