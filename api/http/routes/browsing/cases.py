"""`/v1/cases` and `/v1/facets`: pages of cases, files of them, and how many have each value."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from medsiglip.answers.browsing import CaseList, FacetList
from medsiglip.api.archive.browsing import cases
from medsiglip.api.archive.browsing.case_tables import MEDIA_TYPES, Format, write_cases
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.schemas import NO_NUL, Where

router = APIRouter(prefix="/v1", tags=["cases"])
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY), "description": "a file"}
}


@router.get("/cases", operation_id="list_cases")
def list_cases(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
    sort: Annotated[
        str,
        Query(
            max_length=64,
            pattern=NO_NUL,
            description="study_date, added_at, patient_age, images or study_instance_uid; - before it turns "
            "the order round, and cases without a value come last",
        ),
    ] = "-added_at",
    limit: Annotated[int, Query(ge=1, le=200, description="cases of a page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=1024, pattern=NO_NUL, description="of the page before")
    ] = None,
) -> CaseList:
    """A page of the cases of which an image passes all filters."""
    found = cases.list_cases(archive, where, sort=sort, limit=limit, cursor=cursor)
    auditing.record_list(request, "list", [one.study_instance_uid for one in found.cases])
    return found


class _File(StreamingResponse):
    """Parts of a file that is closed also where nobody reads it, as after HEAD."""

    def __init__(self, parts: Generator[bytes, None, None], media_type: str, headers: dict[str, str]) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._parts.close()


@router.get("/cases/export", operation_id="export_cases", response_class=StreamingResponse, responses=_FILE)
def export_cases(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
    format: Annotated[Format, Query(description="csv, or parquet for programs")] = "csv",
) -> StreamingResponse:
    """All cases of which an image passes all filters, as a file."""
    uids = archive.index.browser.uids(where)
    auditing.record(request, "export", uids, format=format)
    headers = {
        "Content-Disposition": f'attachment; filename="cases.{format}"',
        "Cache-Control": "private, no-store",
    }
    return _File(write_cases(archive, uids, format), MEDIA_TYPES[format], headers)


@router.get("/facets", operation_id="list_facets")
def list_facets(
    archive: ServedArchive,
    _caller: Reader,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
) -> FacetList:
    """How many of the cases that fit have each value of some fields."""
    return cases.list_facets(archive, where)
