"""`/v1/routes`: which cases go to a generator. Changing a rule is for `admin`, because it spends what
generators cost and shows cases to them.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.reports import RouteDetail, RouteList, RouteRun, RouteTest
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Admin, Reporter, ServedArchive
from medsiglip.api.http.schemas import NamePath

router = APIRouter(prefix="/v1/routes", tags=["routes"])
Rule = dict[str, Any]


@router.get("")
def list_routes(archive: ServedArchive, caller: Reporter) -> RouteList:
    """All routing rules."""
    return archive.routes()


@router.get("/{name}")
def get_route(request: Request, archive: ServedArchive, name: NamePath, caller: Reporter) -> RouteDetail:
    """One routing rule."""
    found = archive.route(name)
    auditing.record(request, "list", [one.study_instance_uid for one in found.held_back], route=name)
    return found


@router.put("/{name}")
def put_route(
    request: Request, archive: ServedArchive, name: NamePath, rule: Rule, caller: Admin
) -> RouteDetail:
    """Make a routing rule, or change the one of that name."""
    made = archive.put_route(name, rule)
    auditing.record(request, "route", route=name)
    return made


@router.delete("/{name}")
def remove_route(request: Request, archive: ServedArchive, name: NamePath, caller: Admin) -> RemovedName:
    """Remove a routing rule; its drafts stay."""
    removed = archive.remove_route(name)
    auditing.record(request, "route", route=name)
    return removed


@router.post("/{name}/test")
def try_route(
    request: Request, archive: ServedArchive, name: NamePath, caller: Admin, rule: Rule | None = None
) -> RouteTest:
    """What the stored rule, or the one in the body, would send of the whole archive, and why."""
    tried = archive.test_route(name, rule=rule)
    shown = [*tried.would_send, *tried.examples_not_sent]
    auditing.record(request, "list", [one.study_instance_uid for one in shown], route=name)
    return tried


@router.post("/{name}/run")
def run_route(request: Request, archive: ServedArchive, name: NamePath, caller: Admin) -> RouteRun:
    """Evaluate the rule now, on all that it looks at and has not sent."""
    routed = archive.run_routes(names=[name])
    sent = [one.study_instance_uid for one in routed.decisions]
    auditing.record(request, "draft", sent, route=name)
    return routed
