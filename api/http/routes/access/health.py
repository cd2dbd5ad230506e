"""`/v1/health`: how the service does, in one answer for its administrator."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request

from medsiglip.answers.access import EncoderState, Health, HealthCheck, JobCount, Setting
from medsiglip.answers.service import IndexCounts
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.upkeep.outdated import count_outdated
from medsiglip.api.http.routes.dependencies import Admin
from medsiglip.api.jobs.heartbeat import heartbeats
from medsiglip.api.settings import Settings, printable_values

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get("/health", operation_id="get_health")
async def get_health(request: Request, _caller: Admin) -> Health:
    """Every part tried as by `/readyz`, with what waits, what is full, and the settings."""
    # In threads of its own, as for /readyz: those of other requests may all wait for the part that fails.
    return await to_thread.run_sync(_examine, request, limiter=request.app.state.operations)


def _examine(request: Request) -> Health:
    state: Any = request.app.state
    archive: Archive = state.server.archive
    settings: Settings = state.server.settings
    index, ready = archive.index, state.readiness.report()
    counts = sorted(index.jobs.counts().items())
    values, fields = printable_values(settings), Settings.model_fields
    return Health(
        ready=ready["ready"],
        checks=tuple(HealthCheck.model_validate(one) for one in ready["checks"]),
        version=version("medsiglip"),
        started_at=state.started_at.isoformat(timespec="seconds"),
        home=str(archive.home),
        database=index.health.kind,
        database_seconds=round(index.health.seconds(), 6),
        disk_free_bytes=shutil.disk_usage(archive.home).free,
        min_free_bytes=settings.min_free_bytes,
        encoder=_encoder(archive),
        workers=tuple(heartbeats(archive.home)),
        jobs=tuple(JobCount(kind=kind, status=status, count=n) for (kind, status), n in counts),
        oldest_job_seconds=dict(index.jobs.oldest()),
        index=IndexCounts.model_validate(index.info()),
        outdated=count_outdated(index.instances.rendering_counts()),
        audit_events=index.audit.head()[0],
        settings=tuple(
            Setting(name=name, value=values[name], description=field.description or "")
            for name, field in fields.items()
        ),
    )


def _encoder(archive: Archive) -> EncoderState | None:
    encoder = archive.shared_encoder
    if encoder is None:
        return None
    found = encoder.statistics()
    return EncoderState(
        state=found.state.name,
        restarts=found.restarts,
        waiting=found.waiting,
        waiting_limit=found.waiting_limit,
        refused=found.refused,
    )
