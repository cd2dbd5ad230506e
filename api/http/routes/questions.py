"""`/v1/classify` and `/v1/search`: what an image shows, and similar cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.prompt_sets import PromptSetList
from medsiglip.answers.questions import (
    Classification,
    ClassifyAnswer,
    ImagePrediction,
    Prediction,
    Score,
    SearchAnswer,
    SearchBatch,
    SearchOutcome,
)
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.redaction import redact
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import ClassifyQuestion
from medsiglip.api.http.search_schema import IN_FORM, SearchQuestion

router = APIRouter(prefix="/v1", tags=["questions"], responses=UPLOAD_PROBLEMS)
_FILES = "DICOM files, PNG or JPEG pictures"


@router.post(
    "/classify",
    operation_id="classify",
    response_model=ClassifyAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_body_schema(ClassifyQuestion, files=_FILES),
)
async def classify(request: Request, archive: ServedArchive, caller: Reader) -> Any:
    """Scores of files or of a study against free labels, a prompt set or a probe."""
    async with read_request_body(request, ClassifyQuestion) as question:
        return await run_in_threadpool(_classify, request, archive, caller, question)


@router.get("/prompt-sets", operation_id="prompt_sets", response_model_exclude_unset=True)
def prompt_sets(_caller: Reader) -> PromptSetList:
    """The bundled prompt sets: their labels, and which pictures they are for."""
    from medsiglip.api.archive.scores.prompt_sets import list_prompt_sets

    return list_prompt_sets()


def _classify(
    request: Request, archive: Archive, caller: Caller, body: RequestBody[ClassifyQuestion]
) -> dict[str, Any]:
    question, files = body.fields, body.files
    study = question.study_instance_uid
    if study is not None:
        auditing.record_part(request, [stored_study_uid(archive, study)], "classify")
    if question.probe is None:
        if question.prompts is not None:
            require_prompt_set(question.prompts)
        found = archive.classify(
            images=files,
            study=study,
            labels=question.labels,
            prompts=question.prompts,
            exclusive=question.exclusive,
            scoring=question.scoring,
            by_image=question.by_image,
        )
    else:
        if question.labels is not None or question.prompts is not None:
            raise ServiceError("one-of", "give one of labels, prompts and probe.")
        if question.exclusive or question.scoring != "protocol":
            raise ServiceError("one-of", "exclusive goes with labels, and scoring with labels or prompts.")
        found = _classified(
            archive.predict_probe(question.probe, images=files, study=study, by_image=question.by_image)
        )
    return redact(found.to_json(), caller, body.folder)


def _classified(predicted: Prediction) -> ClassifyAnswer:
    """A probe's prediction in the shape of a classification."""
    kept = {"name", "space", "study_instance_uid", "by_image", "warnings"}
    fields = predicted.model_dump(include=kept, exclude_unset=True)
    if predicted.results is None:
        return ClassifyAnswer(**fields, **_scored(predicted))
    return ClassifyAnswer(
        **fields, results=tuple(Classification(**_scored(one)) for one in predicted.results)
    )


def _scored(one: Prediction | ImagePrediction) -> dict[str, Any]:
    pairs = sorted((one.probability or {}).items(), key=lambda pair: -pair[1])
    verdicts = one.verdict or {}
    scores = tuple(
        Score(
            label=label,
            probability=value,
            calibrated=one.calibrated,
            cosine=None,
            verdict=verdicts.get(label),
        )
        for label, value in pairs
    )
    fields = {"image": one.image, "images": one.images, "scores": scores, "trained_on": one.trained_on}
    return fields if one.set is None else {**fields, "set": one.set}


@router.post(
    "/search",
    operation_id="search",
    response_model=SearchAnswer | SearchBatch,
    response_model_exclude_unset=True,
    openapi_extra=request_body_schema(
        SearchQuestion, files="DICOM files, PNG or JPEG pictures, asked about together", in_form=IN_FORM
    ),
)
async def search(request: Request, archive: ServedArchive, caller: Reader) -> Any:
    """The nearest images, series or studies to texts, studies, stored images, files, vectors and examples; or
    the answers to several questions, with an error for each that cannot be answered.
    """
    async with read_request_body(request, SearchQuestion) as question:
        return await run_in_threadpool(_search, request, archive, caller, question)


def _search(
    request: Request, archive: Archive, caller: Caller, body: RequestBody[SearchQuestion]
) -> dict[str, Any]:
    question = body.fields
    found: SearchAnswer | SearchBatch
    if question.queries is None:
        found = archive.search(**question.arguments(), images=body.files)
        answers: Sequence[SearchAnswer | SearchOutcome] = [found]
    else:
        if body.files or question.model_fields_set != {"queries"}:
            raise ServiceError("one-of", "ask with queries alone, or with the fields of one question.")
        found = archive.search_many([one.arguments() for one in question.queries])
        answers = found.results
    auditing.record_list(request, "search", [uid for one in answers for uid in _shown_studies(one)])
    return redact(found.to_json(), caller, body.folder)


def _shown_studies(answer: SearchAnswer | SearchOutcome) -> Iterator[str]:
    """The studies of which an answer shows something: of its hits, of the near-duplicates that stand behind
    them, and of what was asked about.
    """
    for hit in answer.hits:
        yield hit.study_instance_uid
        yield from (one.study_instance_uid for one in hit.duplicates)
    yield from _named_studies(answer.query)


def _named_studies(value: Any) -> Iterator[str]:
    """The StudyInstanceUIDs of a query's description, at any depth."""
    if isinstance(value, Mapping):
        if isinstance(uid := value.get("study_instance_uid"), str):
            yield uid
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _named_studies(one)


def require_prompt_set(name: str) -> None:
    """Raise ServiceError `prompt-set-unknown` for what is not a bundled prompt set: clients name no files."""
    from medsiglip.zero_shot.prompt_file import list_prompt_sets

    known = list_prompt_sets()
    if name not in known:
        raise ServiceError(
            "prompt-set-unknown", f"there is no prompt set {name!r}: choose one of {', '.join(known)}."
        )
