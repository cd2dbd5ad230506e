"""`/v1/routes`: which cases go to a generator. Changing a route is for `admin`, because it spends what
generators cost and shows cases to them.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.auth import Caller, requires

router = APIRouter(prefix="/v1/routes", tags=["routes"])
Reporter = Annotated[Caller, Depends(requires("report"))]
Admin = Annotated[Caller, Depends(requires("admin"))]
Name = Annotated[str, Path(min_length=1, max_length=64)]
Rule = dict[str, Any]


class Route(BaseModel):
    """A route: its rule, and how many studies it sent and holds back."""

    name: str
    enabled: bool
    priority: int
    rule: Rule
    sent: int
    held: int
    created_at: str
    updated_at: str


class HeldBack(BaseModel):
    """A study that waits for the budget."""

    study_instance_uid: str
    reason: str | None


class RouteDetail(Route):
    """A route and what it holds back."""

    held_back: list[HeldBack]


class RouteList(BaseModel):
    """Routes, the most urgent first."""

    routes: list[Route]


class RemovedRoute(BaseModel):
    """A route that is gone."""

    name: str
    removed: bool


@router.get("", response_model=RouteList)
def list_routes(request: Request, caller: Reporter) -> dict[str, Any]:
    """All routes."""
    return _archive(request).routes()


@router.get("/{name}", response_model=RouteDetail)
def get_route(request: Request, name: Name, caller: Reporter) -> dict[str, Any]:
    """One route."""
    found = _archive(request).route(name)
    auditing.record(request, "list", [one["study_instance_uid"] for one in found["held_back"]], route=name)
    return found


@router.put("/{name}", response_model=RouteDetail)
def put_route(request: Request, name: Name, rule: Rule, caller: Admin) -> dict[str, Any]:
    """Make a route, or change the one of that name."""
    made = _archive(request).put_route(name, rule)
    auditing.record(request, "route", route=name)
    return made


@router.delete("/{name}", response_model=RemovedRoute)
def remove_route(request: Request, name: Name, caller: Admin) -> dict[str, Any]:
    """Remove a route; its drafts stay."""
    removed = _archive(request).remove_route(name)
    auditing.record(request, "route", route=name)
    return removed


@router.post("/{name}/test")
def try_route(request: Request, name: Name, caller: Admin, rule: Rule | None = None) -> dict[str, Any]:
    """What the route, or a rule that is not stored, would send of the whole archive, and why."""
    tried = _archive(request).test_route(name, rule=rule)
    shown = [*tried["would_send"], *tried["examples_not_sent"]]
    auditing.record(request, "list", [one["study_instance_uid"] for one in shown], route=name)
    return tried


@router.post("/{name}/run")
def run_route(request: Request, name: Name, caller: Admin) -> dict[str, Any]:
    """Evaluate the route now, on all that it looks at and has not sent."""
    routed = _archive(request).run_routes(names=[name])
    sent = [one["study_instance_uid"] for one in routed["decisions"]]
    auditing.record(request, "draft", sent, route=name)
    return routed


def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.server.archive
    return archive
