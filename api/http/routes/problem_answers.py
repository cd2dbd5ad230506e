"""Refusals in the OpenAPI description: the same for every route that needs a key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from medsiglip.api.http.problems import MEDIA_TYPE


class ErrorMember(BaseModel):
    """The refusal as clients of OpenAI's API read it."""

    message: str
    type: str
    param: str | None
    code: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457); `code` is stable."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "code": "unknown-study",
                "detail": "There is no study 1.2.840.1 in this index; `study list` shows them.",
                "request_id": "5f0c6f5be5d14f4c9a3d0a8e8f7c1b2d",
                "error": {
                    "message": "There is no study 1.2.840.1 in this index; `study list` shows them.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "unknown-study",
                },
            }
        },
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None = None
    error: ErrorMember


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of routes that may answer with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"model": Problem, "content": content, "description": _DESCRIPTIONS[status]}
        for status in statuses
    }


_DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "The API key is missing or wrong.",
    403: "The key lacks a scope, or the path, host or site is not allowed.",
    404: "There is no such thing.",
    406: "The answer comes in no type that is accepted.",
    408: "The body comes too slowly.",
    409: "The archive or the thing is in another state.",
    410: "The file of the thing is gone.",
    413: "The body is too large.",
    415: "The body has the wrong type.",
    422: "The request cannot be done as asked.",
    424: "A PACS could not be asked, or did not do what it was asked.",
    429: "Too much is asked at once; `Retry-After` says when to come back.",
    500: "The service failed.",
    503: "A part of the service is not there; `Retry-After` says when to come back.",
    507: "The service's disk is full.",
}
PROBLEMS = problems(400, 401, 403, 404, 409, 413, 422, 429, 500, 503)
UPLOAD_PROBLEMS = problems(408, 415, 507)
