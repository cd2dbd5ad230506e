"""`/v1/probes`: classifiers of your own labels, trained on the model's vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.figures import Probe, ProbeList
from medsiglip.answers.jobs import Job
from medsiglip.answers.questions import Prediction
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.labels import read_labels, studies_to_label
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.redaction import redact
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Trainer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import PredictQuestion, ProbePath, ProbeQuestion

router = APIRouter(prefix="/v1/probes", tags=["labels and probes"])


@router.post(
    "",
    operation_id="train_probe",
    status_code=202,
    response_model=Job,
    openapi_extra=request_body_schema(ProbeQuestion, files="one CSV of labels"),
    responses=UPLOAD_PROBLEMS,
)
async def train_probe(
    request: Request,
    response: Response,
    archive: ServedArchive,
    caller: Trainer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start training a probe; the job's result has its out-of-fold figures."""
    async with read_request_body(request, ProbeQuestion) as question:
        return await run_in_threadpool(_start, request, response, archive, caller, question, idempotency_key)


def _start(
    request: Request,
    response: Response,
    archive: Archive,
    caller: Caller,
    question: RequestBody[ProbeQuestion],
    idempotency_key: str | None,
) -> dict[str, Any]:
    fields, sent = question.fields, question.received
    if len(question.files) + bool(fields.labels) != 1:
        raise ServiceError("one-of", "train on either the labels of one CSV file or stored labels.")
    if question.files and not caller.may("write"):
        raise ServiceError(
            "missing-scope",
            "the labels of a CSV are stored in the archive: ask for a key with the scope write, or train on "
            "stored labels.",
        )
    archive.index.filters.check(fields.where)
    plan = ProbePlan(fields.exclusive, fields.pooling, fields.folds, fields.split, fields.class_weight)
    plan.check(fields.level, len(fields.labels) or None)
    parameters = fields.model_dump()
    parameters["labels_csv"] = str(question.files[0]) if question.files else None
    parameters["reader"] = caller.name if question.files else None
    parameters["received"] = str(sent.folder) if sent is not None and question.files else None
    if question.files:
        _record_labels(request, archive, question.files[0], fields)
    auditing.record(request, "train", probe=fields.name)
    if sent is not None and sent.files:
        sent.keep()
    job = submit(request, caller, "probe", parameters, Submission(idempotency_key, fields, sent))
    if sent is not None and job.parameters.get("received") != str(sent.folder):
        sent.is_kept = False  # the job that was started before with this key has its own files
    return accepted(job, caller, response)


def _record_labels(request: Request, archive: Archive, csv: Path, asked: ProbeQuestion) -> None:
    """Record whose labels the job will store; a CSV that cannot be read changes none, and fails the job."""
    try:
        content = read_labels(csv, asked.split)
    except ServiceError:
        return
    studies = studies_to_label(archive, content.records)
    auditing.record(request, "label", studies, rows=content.rows, probe=asked.name)


@router.get("", operation_id="list_probes", response_model_exclude_unset=True)
def list_probes(
    archive: ServedArchive,
    _caller: Reader,
    all_versions: Annotated[bool, Query(description="not only the newest version of each")] = False,
) -> ProbeList:
    """The probes by name."""
    return archive.probes(all_versions=all_versions)


@router.get("/{name}", operation_id="get_probe", response_model_exclude_unset=True)
def get_probe(archive: ServedArchive, name: ProbePath, _caller: Reader) -> Probe:
    """One probe, or one version of it, with its figures."""
    return archive.probe(name)


@router.delete("/{name}", operation_id="delete_probe")
def delete_probe(archive: ServedArchive, name: ProbePath, _caller: Trainer) -> RemovedName:
    """Remove a probe for good, with all its versions, or one version of it."""
    return archive.delete_probe(name)


@router.post(
    "/{name}/predict",
    operation_id="predict",
    response_model=Prediction,
    response_model_exclude_unset=True,
    openapi_extra=request_body_schema(PredictQuestion, files="DICOM files, PNG or JPEG pictures"),
    responses=UPLOAD_PROBLEMS,
)
async def predict(
    request: Request, archive: ServedArchive, name: ProbePath, caller: Reader
) -> dict[str, Any]:
    """Scores of a probe's labels for a study or for files."""
    async with read_request_body(request, PredictQuestion) as question:
        return await run_in_threadpool(_predict, request, archive, name, caller, question)


def _predict(
    request: Request, archive: Archive, name: str, caller: Caller, question: RequestBody[PredictQuestion]
) -> dict[str, Any]:
    study = question.fields.study_instance_uid
    if study is not None:
        auditing.record_study(request, "predict", study, probe=name)
    predicted = archive.predict_probe(name, images=question.files, study=study)
    return redact(predicted.to_json(), caller, question.folder)
