"""`/v1/labels`: labels of cases, as rows or as a CSV."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.cases import ImportedLabels, LabelList
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.labels import read_labels, set_labels, store_labels, studies_to_label
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Writer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import LabelRow, LabelsQuestion
from medsiglip.index.label_records import LabelKey, LabelRecord

router = APIRouter(prefix="/v1", tags=["labels and probes"])
_KEYS: tuple[LabelKey, ...] = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")


@router.post(
    "/labels",
    operation_id="import_labels",
    openapi_extra=request_body_schema(LabelsQuestion, files="one CSV of labels"),
    responses=UPLOAD_PROBLEMS,
)
async def import_labels(request: Request, archive: ServedArchive, _caller: Writer) -> ImportedLabels:
    """Store labels of cases; rows that name nothing in the archive are reported."""
    async with read_request_body(request, LabelsQuestion) as question:
        return await run_in_threadpool(_store, request, archive, question)


def _store(request: Request, archive: Archive, question: RequestBody[LabelsQuestion]) -> ImportedLabels:
    rows = question.fields.rows
    if len(question.files) + bool(rows) != 1:
        raise ServiceError("one-of", "give either one CSV file or rows.")
    if rows:
        records = [_record(number, row) for number, row in enumerate(rows)]
        auditing.record(request, "label", studies_to_label(archive, records), rows=len(rows))
        return set_labels(archive, records)
    content = read_labels(question.files[0])
    auditing.record(request, "label", studies_to_label(archive, content.records), rows=content.rows)
    return store_labels(archive, question.files[0], content)


def _record(number: int, row: LabelRow) -> LabelRecord:
    given = [(kind, value) for kind in _KEYS if (value := getattr(row, kind)) is not None]
    if len(given) != 1:
        raise ServiceError("bad-labels", f"row {number} must name one study, series or instance.")
    kind, key = given[0]
    return LabelRecord(row.label, row.value, kind, key)


@router.get("/labels", operation_id="list_labels")
def list_labels(archive: ServedArchive, _caller: Reader) -> LabelList:
    """The stored labels, with how many cases have them and how many are positive."""
    return archive.labels()
