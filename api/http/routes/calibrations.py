"""`/v1/calibrations`: what scores are worth, from labelled cases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AfterValidator, ConfigDict, Field

from medsiglip.answers.answer import Level
from medsiglip.answers.calibrations import CalibrationList, RemovedCalibrations
from medsiglip.answers.jobs import Job
from medsiglip.api.archive.calibrating.calibrate import require_one_subject
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Trainer
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.routes.questions import require_prompt_set
from medsiglip.api.http.schemas import Filters, Name, Question, Text
from medsiglip.names import LONGEST_SUBJECT, SUBJECT

router = APIRouter(prefix="/v1/calibrations", tags=["labels and probes"])

SubjectPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_SUBJECT,
        pattern=SUBJECT,
        description="`prompts:NAME`, `probe:NAME` or `labels`",
    ),
]


def _known_bound(error: float) -> float:
    from medsiglip.calibration.conformal import ERRORS

    if error not in ERRORS:
        raise ValueError(f"choose one of {', '.join(map(str, ERRORS))}")
    return error


class CalibrationOrder(Question):
    """A prompt set or a probe to calibrate, or free `labels` where neither is named."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompts": "chest-xray", "method": "platt"}})

    prompts: Name | None = Field(None, description="the name of a prompt set")
    probe: Name | None = Field(None, description="the name of a probe")
    labels: Annotated[list[Text], Field(max_length=200)] = Field(
        default_factory=list, description="some labels of the set or probe, or free ones"
    )
    level: Level | None = Field(None, description="what one case is; study, or what the probe was trained on")
    where: Filters = Field(default_factory=list)
    method: Literal["auto", "temperature", "platt", "isotonic", "vector"] = "auto"
    error: Annotated[float, AfterValidator(_known_bound)] = Field(
        0.1, description="the error bound of answers: .01, .02, .05, .1, .15, .2, .25 or .3"
    )


@router.post("", operation_id="calibrate", status_code=202, response_model=Job)
def calibrate(
    request: Request,
    response: Response,
    archive: ServedArchive,
    order: Annotated[CalibrationOrder, Body()],
    caller: Trainer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start calibrating scores on the archive's labelled cases; the job's result has the figures."""
    require_one_subject(order.prompts, order.probe, order.labels)
    if order.prompts is not None:
        require_prompt_set(order.prompts)
    archive.index.filters.check(order.where)
    auditing.record(request, "calibrate")
    job = submit(request, caller, "calibration", order.model_dump(), Submission(idempotency_key, order))
    return accepted(job, caller, response)


AllVersions = Annotated[bool, Query(description="older versions, too")]


@router.get("", operation_id="list_calibrations", response_model_exclude_unset=True)
def list_calibrations(
    archive: ServedArchive, _caller: Reader, all_versions: AllVersions = False
) -> CalibrationList:
    """The calibrations of the archive, with their figures."""
    return archive.calibrations(all_versions=all_versions)


@router.get("/{subject}", operation_id="get_calibration", response_model_exclude_unset=True)
def get_calibration(
    archive: ServedArchive, subject: SubjectPath, _caller: Reader, all_versions: AllVersions = False
) -> CalibrationList:
    """The calibrations of one subject, by space and level."""
    return archive.calibration(subject, all_versions=all_versions)


@router.delete("/{subject}", operation_id="remove_calibration", responses=problems(404))
def remove_calibration(
    request: Request,
    archive: ServedArchive,
    subject: SubjectPath,
    _caller: Trainer,
    level: Annotated[Level | None, Query(description="only those of this level")] = None,
) -> RemovedCalibrations:
    """Remove the calibrations of one subject, with all versions."""
    auditing.record(request, "remove-calibration")
    return archive.remove_calibration(subject, level=level)
