"""`/v1/why`: where a text fits in an image, and which places of two images are alike."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ConfigDict, Field

from medsiglip.answers.why import WhyAnswer
from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.redaction import redact
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import ImageId, Question, Text, Uid

router = APIRouter(prefix="/v1", tags=["questions"], responses=UPLOAD_PROBLEMS)
_FILES = "one DICOM file or picture"


class WhyQuestion(Question):
    """A file, a study or a stored image, and a text or what it is compared with."""

    model_config = ConfigDict(json_schema_extra={"example": {"image_id": 17, "text": "pleural effusion"}})

    study_instance_uid: Uid | None = None
    image_id: ImageId | None = None
    text: Text | None = Field(None, description="where does this fit?")
    like_study_instance_uid: Uid | None = Field(None, description="compare with an image of this study")
    like_image_id: ImageId | None = Field(None, description="compare with this stored image")
    show_burned_in: bool = Field(False, description="show what may bear a name in its pixels; for `admin`")


@router.post(
    "/why",
    operation_id="why",
    response_model=WhyAnswer,
    response_model_exclude_unset=True,
    openapi_extra=request_body_schema(
        WhyQuestion, files=_FILES, others={"like": "compare with this DICOM file or picture"}
    ),
)
async def why(request: Request, archive: ServedArchive, caller: Reader) -> dict[str, Any]:
    """Where in an image a text fits, or which places of two images are alike, with a PNG in base64."""
    async with read_request_body(request, WhyQuestion, others=("like",)) as question:
        return await run_in_threadpool(_why, request, archive, caller, question)


def _why(
    request: Request, archive: Archive, caller: Caller, body: RequestBody[WhyQuestion]
) -> dict[str, Any]:
    question = body.fields
    if len(body.files) > 1:
        raise ServiceError("one-of", "ask about one file; the other, for comparing, goes in the field like.")
    found = archive.why(
        image=body.files[0] if body.files else None,
        study=question.study_instance_uid,
        image_id=question.image_id,
        text=question.text,
        like=None if body.received is None else body.received.others.get("like"),
        like_study=question.like_study_instance_uid,
        like_image_id=question.like_image_id,
        show_burned_in=question.show_burned_in and caller.may("admin"),
    )
    shown = [found.study_instance_uid, found.like_study_instance_uid]
    auditing.record_part(request, [uid for uid in shown if uid is not None], "view")
    return redact(found.to_json(), caller, body.folder)
