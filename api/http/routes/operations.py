"""`/healthz`, `/readyz` and `/metrics`, for the administrator's tools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.metrics import Metrics
from medsiglip.api.http.readiness import Readiness
from medsiglip.api.http.routes.dependencies import Watcher
from medsiglip.api.http.routes.problem_answers import problems

T = TypeVar("T")
_THREADS = 8
router = APIRouter(tags=["operations"])


def watch(app: FastAPI, archive: Archive) -> None:
    """Have the application count requests and check its parts."""
    app.state.started_at = datetime.now(UTC)
    app.state.operations = CapacityLimiter(_THREADS)
    app.state.identifications = CapacityLimiter(_THREADS)
    app.state.metrics = Metrics(archive)
    app.state.readiness = Readiness(archive)


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One part of the service, tried."""

    name: str = Field(examples=["encoder"])
    ok: bool
    detail: str = Field(examples=["encoded a picture of 448 pixels and a text"])
    required: bool = Field(description="whether the service is not ready without it; generators are not")


class Ready(BaseModel):
    """Whether every required part works."""

    ready: bool
    checks: list[Check]


@router.get("/healthz", responses=problems(403))
async def healthz() -> Alive:
    """Whether the process lives; nothing is tried."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not ready"}, **problems(403)},
)
async def readyz(request: Request) -> Any:
    """Whether it can do its work: a picture and a text are embedded, a stored image is searched, the database
    asked and the disk looked at. The answer is at most two seconds old. Generators that are configured are
    tried with two pictures now and then.
    """
    report = await _aside(request, request.app.state.readiness.report)
    return JSONResponse(report, 200 if report["ready"] else 503)


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(401, 403, 429))
async def metrics(request: Request, _caller: Watcher) -> Response:
    """Figures for Prometheus, in its text format. They come also while the database does not answer, then
    with `medsiglip_archive_up 0`.
    """
    figures = await _aside(request, lambda: generate_latest(request.app.state.metrics.registry))
    return Response(figures, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _aside(request: Request, call: Callable[[], T]) -> T:
    """The result of a call in a thread that no other request can take: those may all wait for something."""
    return await to_thread.run_sync(call, limiter=request.app.state.operations)
