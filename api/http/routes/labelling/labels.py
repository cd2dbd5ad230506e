"""`/v1/labels`: labels of cases, as rows, as a CSV, or of all that fit; undone, and with who gave them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.cases import ImportedLabels, LabelList
from medsiglip.answers.labelling import LabelHistory, UndoneLabels
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.labelling.given import labels_of_all
from medsiglip.api.archive.labels import read_labels, set_labels, store_labels, studies_to_label
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Writer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import LabelRow, LabelsQuestion, StudyPath
from medsiglip.index.label_records import LabelKey, LabelRecord

router = APIRouter(prefix="/v1", tags=["labels and probes"])
_KEYS: tuple[LabelKey, ...] = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")


@router.post(
    "/labels",
    operation_id="import_labels",
    openapi_extra=request_body_schema(LabelsQuestion, files="one CSV of labels"),
    responses=UPLOAD_PROBLEMS,
)
async def import_labels(request: Request, archive: ServedArchive, caller: Writer) -> ImportedLabels:
    """Store labels of cases as what the caller says of them; rows that name nothing in the archive are
    reported. Where readers divide a case evenly, the archive has no label of it.
    """
    async with read_request_body(request, LabelsQuestion) as question:
        return await run_in_threadpool(_store, request, archive, caller, question)


def _store(
    request: Request, archive: Archive, caller: Caller, question: RequestBody[LabelsQuestion]
) -> ImportedLabels:
    fields = question.fields
    if len(question.files) + bool(fields.rows) + (fields.where is not None) != 1:
        raise ServiceError("one-of", "give either one CSV file, rows, or filters with a label and a value.")
    if fields.where is None and {"label", "value"} & fields.model_fields_set:
        raise ServiceError("bad-labels", "`label` and `value` are of all that fit: give `where`.")
    if question.files:
        content = read_labels(question.files[0])
        auditing.record(request, "label", studies_to_label(archive, content.records), rows=content.rows)
        return store_labels(archive, question.files[0], content, caller.name)
    if fields.where is None:
        records = [_record(number, row) for number, row in enumerate(fields.rows)]
    elif fields.label is None or "value" not in fields.model_fields_set:
        raise ServiceError("bad-labels", "filters need a label and a value: 1, 0, or null to take it back.")
    else:
        records = labels_of_all(archive, fields.where, fields.label, fields.value)
    auditing.record(request, "label", studies_to_label(archive, records), rows=len(records))
    return set_labels(archive, records, caller.name)


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


@router.post("/labels/undo", operation_id="undo_labels")
def undo_labels(request: Request, archive: ServedArchive, caller: Writer) -> UndoneLabels:
    """Take back what the caller last gave or took back at once; repeated, what was before it."""
    undone = archive.undo_labels(reader=caller.name)
    auditing.record(request, "label", undone.studies, undone=undone.cases)
    return undone


@router.get("/studies/{uid}/labels", operation_id="get_study_labels")
def get_study_labels(
    request: Request, archive: ServedArchive, uid: StudyPath, _caller: Reader
) -> LabelHistory:
    """What each reader said of a study, its series and instances, the earliest first."""
    found = archive.study_labels(uid)
    auditing.record_part(request, [found.study_instance_uid], "view")
    return found
