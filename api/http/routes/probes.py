"""`/v1/probes`: labels of one's own, taught to the model's vectors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.job_start import IdempotencyKey, accepted, submit
from medsiglip.api.http.redaction import shown
from medsiglip.api.http.request_body import Asked, asked, described
from medsiglip.api.http.routes.jobs import JobAnswer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas.probes import Prediction, ProbeAnswer, ProbeList, RemovedProbe
from medsiglip.api.http.schemas.questions import PredictQuestion, ProbeQuestion
from medsiglip.api.http.schemas.values import NamePath

router = APIRouter(prefix="/v1/probes", tags=["labels and probes"])
Reader = Annotated[Caller, Depends(requires("read"))]
Trainer = Annotated[Caller, Depends(requires("train"))]


@router.post(
    "",
    operation_id="train_probe",
    status_code=202,
    response_model=JobAnswer,
    openapi_extra=described(ProbeQuestion, files="one CSV of labels"),
    responses=UPLOAD_PROBLEMS,
)
async def train_probe(
    request: Request, response: Response, caller: Trainer, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Start training a probe; the job's result has its out-of-fold figures."""
    async with asked(request, ProbeQuestion) as question:
        return await run_in_threadpool(_start, request, response, caller, question, idempotency_key)


def _start(
    request: Request,
    response: Response,
    caller: Caller,
    question: Asked[ProbeQuestion],
    idempotency_key: str | None,
) -> dict[str, Any]:
    archive: Archive = request.app.state.server.archive
    fields, sent = question.fields, question.received
    if len(question.files) + bool(fields.labels) != 1:
        raise ServiceError("one-of", "train on either the labels of one CSV file or stored labels.")
    if question.files and not caller.may("write"):
        raise ServiceError(
            "missing-scope",
            "the labels of a CSV are stored in the archive: ask for a key with the scope write, or train on "
            "stored labels.",
        )
    archive.index.check_filters(fields.where)
    parameters = fields.model_dump()
    parameters["labels_csv"] = str(question.files[0]) if question.files else None
    parameters["received"] = str(sent.folder) if sent is not None and question.files else None
    auditing.record(request, "train", probe=fields.name)
    if sent is not None and sent.files:
        sent.keep()
    job = submit(request, caller, "probe", parameters, idempotency_key)
    if sent is not None and job.parameters.get("received") != str(sent.folder):
        sent.is_kept = False  # the job that this key started first has files of its own
    return accepted(job, caller, response)


@router.get("", operation_id="list_probes", response_model=ProbeList)
def list_probes(request: Request, _caller: Reader) -> dict[str, Any]:
    """The probes by name."""
    return _archive(request).probes()


@router.get("/{name}", operation_id="get_probe", response_model=ProbeAnswer)
def get_probe(request: Request, name: NamePath, _caller: Reader) -> dict[str, Any]:
    """One probe with its figures."""
    return _archive(request).probe(name)


@router.delete("/{name}", operation_id="delete_probe", response_model=RemovedProbe)
def delete_probe(request: Request, name: NamePath, _caller: Trainer) -> dict[str, Any]:
    """Remove a probe for good."""
    return _archive(request).delete_probe(name)


@router.post(
    "/{name}/predict",
    operation_id="predict",
    response_model=Prediction,
    response_model_exclude_unset=True,
    openapi_extra=described(PredictQuestion, files="DICOM files, PNG or JPEG pictures"),
    responses=UPLOAD_PROBLEMS,
)
async def predict(request: Request, name: NamePath, caller: Reader) -> dict[str, Any]:
    """Probabilities of a probe's labels for a study or for files."""
    async with asked(request, PredictQuestion) as question:
        return await run_in_threadpool(_predict, request, name, caller, question)


def _predict(request: Request, name: str, caller: Caller, question: Asked[PredictQuestion]) -> dict[str, Any]:
    study = question.fields.study_instance_uid
    if study is not None:
        auditing.record_study(request, "predict", study, probe=name)
    return shown(
        _archive(request).predict_probe(name, images=question.files, study=study), caller, question.folder
    )


def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.server.archive
    return archive
