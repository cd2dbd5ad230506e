"""`/v1/classify` and `/v1/search`: what is in an image, and where it was seen before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.redaction import shown
from medsiglip.api.http.request_body import Asked, asked, described
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas.answers import ClassifyAnswer, SearchAnswer
from medsiglip.api.http.schemas.questions import ClassifyQuestion, SearchQuestion

router = APIRouter(prefix="/v1", tags=["questions"], responses=UPLOAD_PROBLEMS)
Reader = Annotated[Caller, Depends(requires("read"))]
_FILES = "DICOM files, PNG or JPEG pictures"


@router.post(
    "/classify",
    operation_id="classify",
    response_model=ClassifyAnswer,
    response_model_exclude_unset=True,
    openapi_extra=described(ClassifyQuestion, files=_FILES),
)
async def classify(request: Request, caller: Reader) -> Any:
    """Scores of files or of a study against free labels, a prompt set or a probe."""
    async with asked(request, ClassifyQuestion) as question:
        return await run_in_threadpool(_classify, request, caller, question)


def _classify(request: Request, caller: Caller, asking: Asked[ClassifyQuestion]) -> dict[str, Any]:
    question, files = asking.fields, asking.files
    archive: Archive = request.app.state.server.archive
    study = question.study_instance_uid
    if study is not None:
        auditing.record_study(request, "classify", study)
    if question.probe is None:
        if question.prompts is not None:
            require_prompt_set(question.prompts)
        found = archive.classify(images=files, study=study, labels=question.labels, prompts=question.prompts)
    else:
        if question.labels is not None or question.prompts is not None:
            raise ServiceError("one-of", "give one of labels, prompts and probe.")
        found = _as_scores(archive.predict_probe(question.probe, images=files, study=study))
    return shown(found, caller, asking.folder)


def _as_scores(predicted: dict[str, Any]) -> dict[str, Any]:
    """A probe's answer in the shape of a classification."""
    if "results" in predicted:
        return {**predicted, "results": [_as_scores(one) for one in predicted["results"]]}
    pairs = sorted(predicted["probability"].items(), key=lambda pair: -pair[1])
    scores = [{"label": label, "probability": value, "cosine": None} for label, value in pairs]
    return {**{name: value for name, value in predicted.items() if name != "probability"}, "scores": scores}


@router.post(
    "/search",
    operation_id="search",
    response_model=SearchAnswer,
    response_model_exclude_unset=True,
    openapi_extra=described(SearchQuestion, files="one DICOM file, PNG or JPEG picture"),
)
async def search(request: Request, caller: Reader) -> Any:
    """The nearest images, series or studies to a text, a study, a stored image or a file."""
    async with asked(request, SearchQuestion) as question:
        return await run_in_threadpool(_search, request, caller, question)


def _search(request: Request, caller: Caller, asking: Asked[SearchQuestion]) -> dict[str, Any]:
    question, files = asking.fields, asking.files
    archive: Archive = request.app.state.server.archive
    if len(files) > 1:
        raise ServiceError("one-of", "search with one file at a time.")
    found = archive.search(
        text=question.text,
        image=files[0] if files else None,
        study=question.study_instance_uid,
        image_id=question.image_id,
        k=question.k,
        level=question.level,
        where=question.where,
        include_same_patient=question.include_same_patient,
    )
    auditing.record(request, "search", [hit["study_instance_uid"] for hit in found["hits"]])
    return shown(found, caller, asking.folder)


def require_prompt_set(name: str) -> None:
    """Raise ServiceError `prompt-set-unknown` for what is no bundled prompt set: clients name no files."""
    from medsiglip.zeroshot import list_prompt_sets

    known = list_prompt_sets()
    if name not in known:
        raise ServiceError(
            "prompt-set-unknown", f"there is no prompt set {name!r}: choose one of {', '.join(known)}."
        )
