"""QIDO-RS: lists of studies, series and instances (PS3.18, section 10.6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from medsiglip.api.archive.dicomweb.lists import FoundList, find_instances, find_series, find_studies
from medsiglip.api.archive.dicomweb.questions import MOST_ROWS, ListQuestion, list_question
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.dicomweb.accepted import DICOM_JSON, require_json
from medsiglip.api.http.routes.dicomweb.answers import PREFIX, SeriesPath, base_url, warning
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import StudyPath

Find = Callable[[OpenedArchive, ListQuestion, str], FoundList]
_ROWS = {"schema": {"type": "array", "items": {"type": "object"}}}
router = APIRouter(
    prefix=PREFIX,
    tags=["DICOMweb"],
    responses={**problems(406), 200: {"content": {DICOM_JSON: _ROWS}, "description": "what is found"}},
)
Limit = Annotated[int, Query(ge=1, le=2**31, description=f"at most {MOST_ROWS} at once")]
Offset = Annotated[int, Query(ge=0, le=2**31)]
_MATCHES: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": said, "schema": {"type": "string"}}
        for name, said in (
            ("StudyInstanceUID", "one, or several with commas; attributes go by keyword or tag"),
            ("PatientID", "the patient key; `*` and `?` stand for any characters or one"),
            ("StudyDate", "YYYYMMDD, or a range: 20240101-20241231"),
            ("ModalitiesInStudy", "one, or several with commas"),
            ("includefield", "a keyword, a tag or `all`; all that is stored is sent anyway"),
            ("fuzzymatching", "true or false; names are matched literally"),
        )
    ]
}


@router.get("/studies", operation_id="search_studies", response_class=Response, openapi_extra=_MATCHES)
def search_studies(
    request: Request, archive: ServedArchive, caller: Reader, limit: Limit = MOST_ROWS, offset: Offset = 0
) -> Response:
    """Studies with DICOM instances, the last added first."""
    return _list(request, archive, find_studies, _question(request, limit, offset))


@router.get("/series", operation_id="search_series", response_class=Response, openapi_extra=_MATCHES)
def search_series(
    request: Request, archive: ServedArchive, caller: Reader, limit: Limit = MOST_ROWS, offset: Offset = 0
) -> Response:
    """Series of all studies."""
    return _list(request, archive, find_series, _question(request, limit, offset))


@router.get("/instances", operation_id="search_instances", response_class=Response, openapi_extra=_MATCHES)
def search_instances(
    request: Request, archive: ServedArchive, caller: Reader, limit: Limit = MOST_ROWS, offset: Offset = 0
) -> Response:
    """Instances of all studies."""
    return _list(request, archive, find_instances, _question(request, limit, offset))


@router.get(
    "/studies/{study}/series",
    operation_id="search_series_of_study",
    response_class=Response,
    openapi_extra=_MATCHES,
)
def search_series_of_study(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    limit: Limit = MOST_ROWS,
    offset: Offset = 0,
) -> Response:
    """Series of a study."""
    return _list(request, archive, find_series, _question(request, limit, offset, study))


@router.get(
    "/studies/{study}/instances",
    operation_id="search_instances_of_study",
    response_class=Response,
    openapi_extra=_MATCHES,
)
def search_instances_of_study(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    limit: Limit = MOST_ROWS,
    offset: Offset = 0,
) -> Response:
    """Instances of a study."""
    return _list(request, archive, find_instances, _question(request, limit, offset, study))


@router.get(
    "/studies/{study}/series/{series}/instances",
    operation_id="search_instances_of_series",
    response_class=Response,
    openapi_extra=_MATCHES,
)
def search_instances_of_series(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    limit: Limit = MOST_ROWS,
    offset: Offset = 0,
) -> Response:
    """Instances of a series."""
    return _list(request, archive, find_instances, _question(request, limit, offset, study, series))


def _question(
    request: Request, limit: int, offset: int, study: str | None = None, series: str | None = None
) -> ListQuestion:
    require_json(request)
    given = [one for one in request.query_params.multi_items() if one[0] not in ("limit", "offset")]
    question = list_question(given, limit, offset)
    return question.within("study_instance_uid", study).within("series_instance_uid", series)


def _list(request: Request, archive: OpenedArchive, find: Find, question: ListQuestion) -> Response:
    found = find(archive, question, base_url(request))
    auditing.record_list(request, "list", list(dict.fromkeys(found.studies)))
    more = ["There are additional results that can be requested."] if found.more else []
    headers = warning(request, *question.warnings, *more)
    content = json.dumps(found.rows, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # dicomweb-client compares the whole header: no charset.
    return Response(content, headers={**headers, "Content-Type": DICOM_JSON})
