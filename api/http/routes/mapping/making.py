"""`POST /v1/map`: the cases are laid out in a plane."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import ConfigDict, Field

from medsiglip.answers.answer import Level
from medsiglip.answers.jobs import Job
from medsiglip.api.archive.mapping.making import MOST_SEED
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import ServedArchive, Trainer
from medsiglip.api.http.schemas import Question

router = APIRouter(prefix="/v1/map", tags=["map"])


class MapOrder(Question):
    """What a point is, and the seed of the start, of which the same places come again."""

    model_config = ConfigDict(json_schema_extra={"example": {"level": "study", "seed": 0}})

    level: Level = "study"
    seed: int = Field(0, ge=0, le=MOST_SEED)


@router.post("", operation_id="make_map", status_code=202, response_model=Job)
def make_map(
    request: Request,
    response: Response,
    archive: ServedArchive,
    order: Annotated[MapOrder, Body()],
    caller: Trainer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start making a map, the next version of its level; the job's result describes it."""
    _ = archive.searchable_space
    auditing.record(request, "map", level=order.level)
    job = submit(request, caller, "map", order.model_dump(), Submission(idempotency_key, order))
    return accepted(job, caller, response)
