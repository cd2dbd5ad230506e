"""WADO-RS: metadata, and the bulk data that they leave out (PS3.18, sections 10.4.1.1.2 and 10.4.1.1.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response, StreamingResponse

from medsiglip.api.archive.dicomweb.retrieval import Resource
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.dicomweb.accepted import (
    DICOM_JSON,
    OCTETS,
    RELATED,
    accepted,
    of_decoded_frames,
)
from medsiglip.api.http.routes.dicomweb.answers import (
    CACHED,
    PREFIX,
    InstancePath,
    SeriesPath,
    ShowBurnedIn,
    base_url,
    begun,
    left_out,
    one_related,
    retrieved,
)
from medsiglip.api.http.routes.dicomweb.pixels import frames_answer
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import StudyPath
from medsiglip.ingest.retrieval.file_tasks import PIXEL_DATA

_ROWS = {"schema": {"type": "array", "items": {"type": "object"}}}
_JSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {DICOM_JSON: _ROWS}, "description": "the headers of the instances"}
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BULK: dict[int | str, dict[str, Any]] = {
    200: {"content": {RELATED: _BYTES, OCTETS: _BYTES}, "description": "the bytes of one element"}
}
router = APIRouter(prefix=PREFIX, tags=["DICOMweb"], responses=problems(406, 410))


@router.get(
    "/studies/{study}/metadata", operation_id="study_metadata", response_class=Response, responses=_JSON
)
def study_metadata(request: Request, archive: ServedArchive, caller: Reader, study: StudyPath) -> Response:
    """The headers of all instances of a study, without what names a person."""
    return _metadata(request, caller, archive, Resource(study))


@router.get(
    "/studies/{study}/series/{series}/metadata",
    operation_id="series_metadata",
    response_class=Response,
    responses=_JSON,
)
def series_metadata(
    request: Request, archive: ServedArchive, caller: Reader, study: StudyPath, series: SeriesPath
) -> Response:
    """The headers of all instances of a series."""
    return _metadata(request, caller, archive, Resource(study, series))


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/metadata",
    operation_id="instance_metadata",
    response_class=Response,
    responses=_JSON,
)
def instance_metadata(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
) -> Response:
    """The header of an instance."""
    return _metadata(request, caller, archive, Resource(study, series, instance))


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{place:path}",
    operation_id="bulk_data",
    response_class=Response,
    responses=_BULK,
)
def bulk_data(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    place: Annotated[
        str,
        Path(max_length=400, pattern=r"^[0-9A-Fa-f]{8}(/[1-9][0-9]{0,4}/[0-9A-Fa-f]{8}){0,16}$"),
    ],
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """What a BulkDataURI of the metadata leads to; of pixel data all frames."""
    resource = Resource(study, series, instance)
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    path = tuple(int(one, 16 if number % 2 == 0 else 10) for number, one in enumerate(place.split("/")))
    if len(path) == 1 and path[0] in PIXEL_DATA.values():
        return frames_answer(request, found, range(found.one.frames))
    in_parts = _in_parts(request)
    value = found.bulk_data(path)
    if in_parts:
        return one_related(request, OCTETS, [(OCTETS, [value])], CACHED)
    return Response(value, media_type=OCTETS, headers=CACHED)


def _in_parts(request: Request) -> bool:
    for one in accepted(request):
        if one.kind in (OCTETS, "application/*", "*/*"):
            return False
        if one.kind in (RELATED, "multipart/*") and one.part in ("", OCTETS, "*/*"):
            return True
    raise ServiceError(
        "not-acceptable", f"bulk data are {OCTETS}, alone or in {RELATED}: accept one of these."
    )


def _metadata(request: Request, caller: Caller, archive: ServedArchive, resource: Resource) -> Response:
    decode = of_decoded_frames(request)
    found = retrieved(request, archive, caller, resource)
    pieces = begun(found.metadata(base_url(request), decode=decode))
    headers = left_out(request, found.survey(), withheld=False) if resource.instance is None else {}
    return StreamingResponse(_array(pieces), headers={**headers, "Content-Type": DICOM_JSON})


def _array(pieces: Iterator[bytes]) -> Iterator[bytes]:
    before = b"["
    for piece in pieces:
        yield before + piece
        before = b","
    yield b"[]" if before == b"[" else b"]"
