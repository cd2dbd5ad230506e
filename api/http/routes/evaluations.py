"""`/v1/evaluations`: how good retrieval, prompt sets and probes are on the archive's labelled cases, whether
groups of cases differ, and what changed pictures do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request, Response
from pydantic import ConfigDict, Field

from medsiglip.answers.answer import Level
from medsiglip.answers.jobs import Job
from medsiglip.api.archive.evaluating.ordered import require_order
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.page_answers import HTML, page_answer
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Trainer
from medsiglip.api.http.routes.jobs import visible_job
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.routes.questions import require_prompt_set
from medsiglip.api.http.schemas import Filters, Name, ProbeName, Question, Text

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])


class EvaluationOrder(Question):
    """What to evaluate. Each kind takes some of the fields; `spaces` compares two of the archive's."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"kind": "retrieval", "level": "study", "labels": ["effusion"]}}
    )

    kind: Literal["retrieval", "zero-shot", "probe", "drift", "robustness"]
    prompts: Name | None = Field(None, description="the name of a prompt set")
    probe: ProbeName | None = None
    labels: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    level: Level | None = None
    where: Filters = Field(default_factory=list)
    compare: Literal["means", "sets"] | None = Field(None, description="how studies are compared")
    spaces: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = Field(
        None, description="two spaces of the archive, compared on the same cases"
    )
    reference: Filters = Field(default_factory=list, description="of drift: the cases to compare with")
    current: Filters = Field(default_factory=list, description="of drift: the cases in question")
    cases: Annotated[int, Field(ge=0, le=5000)] | None = Field(
        None, description="of drift, how many to list of each group; of robustness, how many to look at"
    )
    permutations: Annotated[int, Field(ge=99, le=9999)] | None = Field(None, description="of drift")


@router.post("", operation_id="evaluate", status_code=202, response_model=Job)
def evaluate(
    request: Request,
    response: Response,
    archive: ServedArchive,
    order: Annotated[EvaluationOrder, Body()],
    caller: Trainer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start an evaluation; the job's result has its figures, and `/page` shows them."""
    fields = order.model_dump()
    kind = fields.pop("kind")
    require_order(kind, fields)
    if order.prompts is not None:
        require_prompt_set(order.prompts)
    for filters in (order.where, order.reference, order.current):
        archive.index.filters.check(filters)
    auditing.record(request, "evaluate", kind=kind)
    job = submit(request, caller, "evaluation", order.model_dump(), Submission(idempotency_key, order))
    return accepted(job, caller, response)


@router.get(
    "/{job_id}/page",
    operation_id="get_evaluation_page",
    response_class=Response,
    responses={**HTML, **problems(404, 409)},
)
def get_evaluation_page(request: Request, archive: ServedArchive, job_id: str, caller: Reader) -> Response:
    """The figures of an evaluation that has ended, as one page of HTML with tables and plots."""
    from medsiglip.api.archive.pages.evaluation_page import evaluation_page

    job = visible_job(archive.index.jobs, job_id, caller)
    if job.kind != "evaluation" or job.status != "done" or job.result is None:
        raise ServiceError(
            "no-evaluation", "the job has no figures of an evaluation: ask when one has ended as done."
        )
    result = dict(job.result)
    auditing.record_result(request, job)
    return page_answer(evaluation_page(result.pop("evaluation"), result))
