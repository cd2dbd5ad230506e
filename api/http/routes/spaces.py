"""`/v1/spaces`: the models that the images of the archive were embedded with, and embedding them anew."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from medsiglip.answers.jobs import Job
from medsiglip.answers.spaces import DroppedSpace, SpaceCount, SpaceList
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import Admin, Reader, ServedArchive
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import NamePath, ReembeddingOrder

router = APIRouter(prefix="/v1/spaces", tags=["service"])


@router.get("", operation_id="list_spaces")
def list_spaces(archive: ServedArchive, _caller: Reader) -> SpaceList:
    """The spaces of the archive, the active one first."""
    return SpaceList(spaces=tuple(SpaceCount(**one._asdict()) for one in archive.index.spaces.listed()))


@router.post("", operation_id="reembed", status_code=202, response_model=Job)
def reembed(
    request: Request,
    response: Response,
    order: Annotated[ReembeddingOrder, Body()],
    caller: Admin,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start embedding every image anew with another model, which the archive switches to at the end, or,
    without one, those that this version draws otherwise. Searches go on in the former space meanwhile.
    """
    auditing.record(request, "reembed")
    job = submit(request, caller, "reembed", order.model_dump(), Submission(idempotency_key, order))
    return accepted(job, caller, response)


@router.delete("/{name}", operation_id="drop_space", responses=problems(404, 409))
def drop_space(request: Request, archive: ServedArchive, name: NamePath, _caller: Admin) -> DroppedSpace:
    """Delete the vectors of a space that the archive does not work in."""
    auditing.record(request, "drop-space", space=name)
    return archive.drop_space(name)
