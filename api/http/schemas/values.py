"""Values that several requests and answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from medsiglip.index.catalogue.filters import MAX_EXPRESSIONS

# What PostgreSQL takes as text: no NUL (its documentation, section 8.3).
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=NO_NUL)]
# PS3.5, section 9.1: at most 64 characters. Plain pictures have UIDs that were derived in the same form.
Uid = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z._-]+$")]
# How long a filter may be is said by `medsiglip.index.catalogue.filters`, with the code that all its refusals
# have.
FilterText = Annotated[str, Field(min_length=1, pattern=NO_NUL)]
Filters = Annotated[list[FilterText], Field(max_length=MAX_EXPRESSIONS)]
Level = Literal["image", "series", "study"]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Json = dict[str, Any]

StudyPath = Annotated[
    str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z._-]+$", description="StudyInstanceUID")
]
NamePath = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Where = Annotated[
    list[FilterText],
    Query(
        max_length=MAX_EXPRESSIONS,
        description="`field=value` and the like, as in `--where`; repeated means and",
    ),
]


class Question(BaseModel):
    """A body whose fields are all known."""

    model_config = ConfigDict(extra="forbid", strict=True)


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
            }
        },
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None = None
