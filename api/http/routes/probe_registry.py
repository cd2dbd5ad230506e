"""Probes that leave and enter the archive, and the cases that one would have labelled next."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.figures import Probe
from medsiglip.answers.jobs import Job
from medsiglip.answers.probes import ProbeSuggestions
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.probes.exchange import packed_probe
from medsiglip.api.archive.probes.registry import stored_probe
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Trainer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import ImportQuestion, ProbePath, StoreQuestion, Where

router = APIRouter(prefix="/v1/probes", tags=["labels and probes"])


@router.get(
    "/{name}/export",
    operation_id="export_probe",
    response_class=Response,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def export_probe(request: Request, archive: ServedArchive, name: ProbePath, _caller: Reader) -> Response:
    """A probe as a zip of `probe.json` and `probe.safetensors`, without anything of single patients."""
    from medsiglip.probes.files import zipped

    record = stored_probe(archive, name)
    content = zipped(packed_probe(archive, record))
    auditing.record(request, "export", probe=f"{record.name}@{record.version}")
    sent_as = f'attachment; filename="{record.name}-{record.version}.zip"'
    return Response(content, media_type="application/zip", headers={"Content-Disposition": sent_as})


@router.post(
    "/import",
    operation_id="import_probe",
    status_code=201,
    response_model=Probe,
    response_model_exclude_unset=True,
    openapi_extra=request_body_schema(ImportQuestion, files="the zip of an export, or its two files"),
    responses=UPLOAD_PROBLEMS,
)
async def import_probe(request: Request, archive: ServedArchive, _caller: Trainer) -> Probe:
    """Take in a probe that was exported; one of another model is refused."""
    async with read_request_body(request, ImportQuestion) as question:
        return await run_in_threadpool(_import, request, archive, question)


def _import(request: Request, archive: Archive, question: RequestBody[ImportQuestion]) -> Probe:
    if not question.files:
        raise ServiceError("no-files", "send the zip of an export, or its two files, in the field file.")
    imported = archive.import_probe(question.files, name=question.fields.name)
    auditing.record(request, "train", probe=f"{imported.name}@{imported.version}")
    return imported


@router.post("/{name}/predictions", operation_id="store_predictions", status_code=202, response_model=Job)
def store_predictions(
    request: Request,
    response: Response,
    archive: ServedArchive,
    name: ProbePath,
    caller: Trainer,
    question: StoreQuestion,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start scoring the archive with a probe; the scores are kept for filters such as `probe:NAME>0.8`."""
    record = stored_probe(archive, name)
    archive.index.filters.check(question.where)
    auditing.record(request, "predict", probe=f"{record.name}@{record.version}")
    parameters = {"name": f"{record.name}@{record.version}", "where": question.where}
    job = submit(request, caller, "predictions", parameters, Submission(idempotency_key, question))
    return accepted(job, caller, response)


@router.get("/{name}/suggestions", operation_id="suggest_cases", response_model_exclude_unset=True)
def suggest_cases(
    request: Request,
    archive: ServedArchive,
    name: ProbePath,
    _caller: Reader,
    n: Annotated[int, Query(ge=1, le=1000, description="how many studies")] = 20,
    where: Where = [],  # noqa: B006  (FastAPI reads the default, and never changes it)
) -> ProbeSuggestions:
    """The studies that are most worth labelling next, one of each patient."""
    found = archive.suggest_cases(name, n=n, where=where)
    auditing.record(request, "list", [one.study_instance_uid for one in found.suggestions], probe=name)
    return found
