"""WADO-RS: frames and whole instances (PS3.18, sections 10.4.1.1.1 and 10.4.1.1.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from medsiglip.api.archive.dicomweb.retrieval import Held, Resource, Retrieval
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.dicomweb.accepted import (
    DICOM,
    OCTETS,
    RELATED,
    form_of_files,
    form_of_frames,
    sent_syntax,
)
from medsiglip.api.http.routes.dicomweb.answers import (
    CACHED,
    PREFIX,
    InstancePath,
    SeriesPath,
    ShowBurnedIn,
    begun,
    left_out,
    one_related,
    related,
    retrieved,
)
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import StudyPath

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {RELATED: _BYTES, DICOM: _BYTES}, "description": "DICOM files, one in each part"}
}
_IMAGES = ("image/jpeg", "image/jls", "image/jp2", "image/jphc", "image/dicom-rle")
_FRAMES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": dict.fromkeys((RELATED, OCTETS, *_IMAGES), _BYTES),
        "description": "frames, one in each part",
    }
}
router = APIRouter(prefix=PREFIX, tags=["DICOMweb"], responses=problems(406, 410))
FramesPath = Annotated[
    str,
    Path(
        max_length=20_000,
        pattern=r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$",
        description="numbers of frames from 1 on, with commas",
    ),
]


@router.get("/studies/{study}", operation_id="retrieve_study", response_class=Response, responses=_FILES)
def retrieve_study(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """The DICOM files of a study, without what names a person."""
    return _files(request, archive, caller, Resource(study), show_burned_in)


@router.get(
    "/studies/{study}/series/{series}",
    operation_id="retrieve_series",
    response_class=Response,
    responses=_FILES,
)
def retrieve_series(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """The DICOM files of a series."""
    return _files(request, archive, caller, Resource(study, series), show_burned_in)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}",
    operation_id="retrieve_instance",
    response_class=Response,
    responses=_FILES,
)
def retrieve_instance(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """The DICOM file of an instance."""
    return _files(request, archive, caller, Resource(study, series, instance), show_burned_in)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
    operation_id="retrieve_frames",
    response_class=Response,
    responses=_FRAMES,
)
def retrieve_frames(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    frames: FramesPath,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """Frames as they are stored for who accepts that (`transfer-syntax=*`), else native pixels."""
    numbers = [int(one) for one in frames.split(",")]
    if len(set(numbers)) < len(numbers):
        # PS3.18, section 10.4.1; a short address could otherwise ask for gigabytes.
        raise ServiceError("bad-dicomweb-query", "each frame is named once in a list: leave out the others.")
    resource = Resource(study, series, instance)
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    return frames_answer(request, found, [number - 1 for number in numbers])


def frames_answer(request: Request, found: Retrieval, frames: Sequence[int]) -> Response:
    """Frames of the one instance, counted from 0, in the form that the client accepts."""
    one = found.one
    form = form_of_frames(request, one.transfer_syntax_uid, single=len(frames) == 1)
    kind = f"{form.media_type}; transfer-syntax={sent_syntax(form, one.transfer_syntax_uid)}"
    read = begun(found.frames(one, frames, decode=form.decode))
    if not form.in_parts:
        return Response(next(read), headers={**CACHED, "Content-Type": kind})
    parts = ((kind, [frame]) for frame in read)
    answer = one_related if len(frames) == 1 else related
    return answer(request, form.media_type, parts, CACHED)


def _files(
    request: Request, archive: OpenedArchive, caller: Caller, resource: Resource, show_burned_in: bool
) -> Response:
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    single = resource.instance is not None
    form = form_of_files(request, found.one.transfer_syntax_uid, single=single)

    def decode(one: Held) -> bool:
        return form_of_files(request, one.transfer_syntax_uid, single=single).decode

    files = begun(found.files(decode=decode))
    headers = {} if single else left_out(request, found.survey(), withheld=True)
    if not form.in_parts:
        one, pieces = next(files)
        kind = f"{DICOM}; transfer-syntax={sent_syntax(form, one.transfer_syntax_uid)}"
        return StreamingResponse(pieces, headers={"Content-Type": kind})
    return related(request, DICOM, _file_parts(request, files, single=single), headers)


def _file_parts(
    request: Request, files: Iterator[tuple[Held, Iterator[bytes]]], *, single: bool
) -> Iterator[tuple[str, Iterator[bytes]]]:
    for one, pieces in files:
        form = form_of_files(request, one.transfer_syntax_uid, single=single)
        yield f"{DICOM}; transfer-syntax={sent_syntax(form, one.transfer_syntax_uid)}", pieces
