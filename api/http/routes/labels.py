"""`/v1/labels`: what is known of cases, given as rows or as a CSV."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.labels import set_labels
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.request_body import Asked, asked, described
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas.probes import LabelList, LabelsStored
from medsiglip.api.http.schemas.questions import LabelRow, LabelsQuestion
from medsiglip.index.records import LabelKey, LabelRecord

router = APIRouter(prefix="/v1", tags=["labels and probes"])
Reader = Annotated[Caller, Depends(requires("read"))]
Writer = Annotated[Caller, Depends(requires("write"))]
_KEYS: tuple[LabelKey, ...] = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")


@router.post(
    "/labels",
    operation_id="import_labels",
    response_model=LabelsStored,
    openapi_extra=described(LabelsQuestion, files="one CSV of labels"),
    responses=UPLOAD_PROBLEMS,
)
async def import_labels(request: Request, _caller: Writer) -> dict[str, Any]:
    """Store labels of cases; rows that name nothing in the archive are told."""
    async with asked(request, LabelsQuestion) as question:
        return await run_in_threadpool(_store, request, question)


def _store(request: Request, question: Asked[LabelsQuestion]) -> dict[str, Any]:
    archive: Archive = request.app.state.server.archive
    rows = question.fields.rows
    if len(question.files) + bool(rows) != 1:
        raise ServiceError("one-of", "give either one CSV file or rows.")
    auditing.record(request, "label", rows=len(rows))
    if rows:
        return set_labels(archive, [_record(number, row) for number, row in enumerate(rows)])
    return archive.import_labels(question.files[0])


def _record(number: int, row: LabelRow) -> LabelRecord:
    given = [(kind, value) for kind in _KEYS if (value := getattr(row, kind)) is not None]
    if len(given) != 1:
        raise ServiceError("bad-labels", f"row {number} must name one study, series or instance.")
    kind, key = given[0]
    return LabelRecord(row.label, row.value, kind, key)


@router.get("/labels", operation_id="list_labels", response_model=LabelList)
def list_labels(request: Request, _caller: Reader) -> dict[str, Any]:
    """The stored labels, with how many cases have them and how many are positive."""
    archive: Archive = request.app.state.server.archive
    return archive.labels()
