"""`/v1/label-queue`, and how readers agree on a label and how well it can be learned."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from medsiglip.answers.labelling import LabelAgreement, LabelQueue, LearningCurve, Order
from medsiglip.api.archive.labelling.queue_question import QueueQuestion
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.schemas import NO_NUL, Where
from medsiglip.names import LONGEST_LABEL

router = APIRouter(prefix="/v1", tags=["labels and probes"])
# A label may hold a slash, percent-encoded or not.
LabelPath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_LABEL, pattern=NO_NUL, description="a label's name")
]


@router.get("/label-queue", operation_id="label_queue")
def label_queue(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    label: Annotated[str, Query(min_length=1, max_length=LONGEST_LABEL, pattern=NO_NUL)],
    order: Annotated[
        Order,
        Query(
            description="what a probe of this label, else a fit to the labels of now, is least sure of; what "
            "is unlike all that is labelled; at random; or what readers contradict each other about"
        ),
    ] = "uncertainty",
    seed: Annotated[int, Query(ge=0, lt=2**31, description="the same gives the same order")] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="how many cases")] = 20,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
) -> LabelQueue:
    """The cases that the caller should label next, of those that the caller has not labelled."""
    question = QueueQuestion(label, order, seed, limit, tuple(where))
    found = archive.label_queue(question, reader=caller.name)
    auditing.record_list(request, "list", [one.study_instance_uid for one in found.cases])
    return found


@router.get("/labels/{name:path}/agreement", operation_id="get_label_agreement")
def get_label_agreement(
    request: Request, archive: ServedArchive, name: LabelPath, _caller: Reader
) -> LabelAgreement:
    """How readers agree on a label, in pairs and all together, and the studies that they disagree about."""
    found = archive.label_agreement(name)
    auditing.record_list(request, "list", found.disagreements)
    return found


@router.get("/labels/{name:path}/learning-curve", operation_id="get_learning_curve")
def get_learning_curve(archive: ServedArchive, name: LabelPath, _caller: Reader) -> LearningCurve:
    """How well a label can be learned from the first 10, 20, 40 ... studies that were labelled."""
    return archive.learning_curve(name)
