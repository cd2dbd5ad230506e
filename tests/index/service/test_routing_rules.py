"""Routes as rows: a study is sent once for each, with its job, within the budget, whoever evaluates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.draft_schema import route_decisions
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.routing_rules import Budget, Decision, RoutedJob, RoutingRule
from tests.index.index_cases import make_bundle, unit_vectors

JOB = RoutedJob("report", {"route": "chest"})


def put(index: CaseIndex, *, whole: bool = True, name: str = "chest", priority: int = 0) -> RoutingRule:
    return index.routing_rules.put(name, {"where": []}, enabled=True, priority=priority, whole_archive=whole)


def add_studies(index: CaseIndex, *numbers: int) -> list[str]:
    index.add([make_bundle(number, 1) for number in numbers], unit_vectors(len(numbers), numbers[0]))
    return [f"2.25.{number}" for number in numbers]


def evaluate(
    index: CaseIndex, route: RoutingRule, budget: Budget | None = None, chosen: Sequence[str] | None = None
) -> list[Decision]:
    candidates = index.routing_rules.candidates(route.name)
    wanted = candidates.study_instance_uids if chosen is None else chosen
    return index.routing_rules.decide(route, candidates, wanted, JOB, budget)


def jobs_of(index: CaseIndex) -> list[str]:
    return [job.parameters["study_instance_uid"] for job in index.jobs.listed(limit=1000)]


def test_a_study_is_sent_once_with_its_job(index: CaseIndex) -> None:
    uids = add_studies(index, 1, 2, 3)
    route = put(index, priority=7)
    sent = evaluate(index, route)
    assert [(one.study_instance_uid, one.outcome) for one in sent] == [(uid, "sent") for uid in uids]
    assert sorted(jobs_of(index)) == uids
    job = index.jobs.get(str(sent[0].job_id))
    assert job.parameters == {"route": "chest", "study_instance_uid": "2.25.1"}
    assert index.jobs.claim("worker", ["report"]) is not None
    assert evaluate(index, route) == []
    everything = index.routing_rules.candidates("chest", again=True)
    assert everything.study_instance_uids == ()
    assert index.routing_rules.decide(route, everything, uids, JOB) == []
    assert len(jobs_of(index)) == 3


def test_a_route_on_new_studies_begins_when_it_is_made(index: CaseIndex) -> None:
    add_studies(index, 1, 2)
    route = put(index, whole=False)
    assert index.routing_rules.candidates("chest", again=True).study_instance_uids == ()
    uids = add_studies(index, 3)
    assert index.routing_rules.candidates("chest").study_instance_uids == tuple(uids)
    assert [one.study_instance_uid for one in evaluate(index, route)] == uids


def test_what_does_not_fit_is_looked_at_again_when_it_gains_images_or_on_demand(index: CaseIndex) -> None:
    add_studies(index, 1, 2)
    route = put(index)
    assert evaluate(index, route, chosen=[]) == []
    assert index.routing_rules.candidates("chest").study_instance_uids == ()
    assert index.routing_rules.candidates("chest", again=True).study_instance_uids == ("2.25.1", "2.25.2")
    index.add([make_bundle(2, 1, series=1)], unit_vectors(1, 9))
    assert index.routing_rules.candidates("chest").study_instance_uids == ("2.25.2",)
    put(index)
    assert index.routing_rules.candidates("chest").study_instance_uids == ("2.25.1", "2.25.2")


def test_over_budget_is_held_back_and_comes_first_later(index: CaseIndex) -> None:
    add_studies(index, 1, 2, 3)
    route = put(index)
    first = evaluate(index, route, Budget(per_hour=1, total=2))
    assert [(one.study_instance_uid, one.outcome, one.reason) for one in first] == [
        ("2.25.1", "sent", None),
        ("2.25.2", "held", "the budget is used up: per hour 1"),
        ("2.25.3", "held", "the budget is used up: per hour 1"),
    ]
    add_studies(index, 4)
    assert index.routing_rules.candidates("chest").study_instance_uids == ("2.25.2", "2.25.3", "2.25.4")
    with index._database.write() as connection:
        past = route_decisions.c.decided_at
        earlier = first[0].decided_at - timedelta(hours=2)
        connection.execute(
            update(route_decisions).where(past == first[0].decided_at).values(decided_at=earlier)
        )
    second = evaluate(index, route, Budget(per_hour=1, total=2))
    assert (second[0].study_instance_uid, second[0].outcome) == ("2.25.2", "sent")
    assert {one.reason for one in second[1:]} <= {
        "the budget is used up: per hour 1",
        "the budget is used up: total 2",
    }
    assert index.routing_rules.counts() == {("chest", "sent"): 2, ("chest", "held"): 2}
    evaluate(index, route, Budget(total=9), chosen=["2.25.4"])
    assert [one.study_instance_uid for one in index.routing_rules.decisions("chest", "held")] == []
    assert len(jobs_of(index)) == 3


def test_eight_evaluations_at_once_send_every_study_once(index: CaseIndex) -> None:
    uids = add_studies(index, *range(1, 41))
    route = put(index)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: evaluate(index, route), range(8)))
    assert sorted(jobs_of(index)) == sorted(uids)


def test_a_changed_or_removed_route_sends_nothing_by_its_former_rule(index: CaseIndex) -> None:
    uids = add_studies(index, 1)
    route = put(index)
    candidates = index.routing_rules.candidates("chest")
    put(index)
    with pytest.raises(CatalogError, match="changed meanwhile"):
        index.routing_rules.decide(route, candidates, uids, JOB)
    index.routing_rules.remove("chest")
    with pytest.raises(CatalogError, match="no route 'chest'; the routes are none"):
        index.routing_rules.decide(route, candidates, uids, JOB)
    assert jobs_of(index) == []


def test_routes_are_listed_by_urgency(index: CaseIndex) -> None:
    put(index, name="low", priority=-1)
    put(index, name="b", priority=5)
    put(index, name="a", priority=5)
    assert [route.name for route in index.routing_rules.listed()] == ["a", "b", "low"]


KILLED = """
import os, signal, sys
from pathlib import Path
from medsiglip.index.service import routing_rules
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.routing_rules import RoutedJob
def dying(*_):
    os.kill(os.getpid(), signal.SIGKILL)
routing_rules._store = dying  # the jobs are written by then
with CaseIndex.open(Path(sys.argv[1]), database_url=sys.argv[2] or None) as index:
    candidates = index.routing_rules.candidates("chest")
    route = index.routing_rules.get("chest")
    index.routing_rules.decide(route, candidates, candidates.study_instance_uids, RoutedJob("report"))
"""


def test_a_process_killed_between_decision_and_job_leaves_neither(
    index: CaseIndex, home: Path, catalogue: Any
) -> None:
    uids = add_studies(index, 1, 2, 3, 4)
    route = put(index)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), catalogue.url or ""], env={**os.environ}
    )
    assert killed.returncode == -signal.SIGKILL
    assert index.routing_rules.decisions("chest") == []
    assert jobs_of(index) == []
    evaluate(index, route)
    assert sorted(jobs_of(index)) == uids
