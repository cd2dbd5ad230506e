"""WADO-RS: rendered frames and thumbnails, for programs that draw no pixels of their own (PS3.18, sections
10.4.1.1.3 and 10.4.1.1.4).
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from medsiglip.api.archive.dicomweb.retrieval import Held, Resource, Retrieval
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.dicomweb.accepted import chosen
from medsiglip.api.http.routes.dicomweb.answers import (
    CACHED,
    PREFIX,
    InstancePath,
    SeriesPath,
    ShowBurnedIn,
    retrieved,
)
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import StudyPath
from medsiglip.ingest.retrieval.drawn_frame import FORMATS, Drawing

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(FORMATS, _BYTES), "description": "a picture"}
}
router = APIRouter(prefix=PREFIX, tags=["DICOMweb"], responses={**problems(406, 410), **_PICTURE})
Viewport = Annotated[
    str | None,
    Query(pattern=r"^[1-9][0-9]{0,3},[1-9][0-9]{0,3}$", description="the most columns and rows: 512,512"),
]
WindowOfQuery = Annotated[
    str | None,
    Query(max_length=100, description="center, width and function: 40,400,linear", pattern=r"^[^\x00]*$"),
]
Quality = Annotated[int, Query(ge=1, le=100, description="of a JPEG")]
FramePath = Annotated[int, Path(ge=1, lt=10**9, description="the number of a frame, from 1 on")]
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_NUMBER = re.compile(r"[+-]?\d{1,12}(\.\d{1,12})?", re.ASCII)
THUMBNAIL = 192


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/rendered",
    operation_id="rendered_instance",
    response_class=Response,
)
def rendered_instance(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    viewport: Viewport = None,
    window: WindowOfQuery = None,
    quality: Quality = 90,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """The first frame as a picture, by the window of its file or of the question."""
    resource = Resource(study, series, instance)
    drawing = _drawing(request, viewport, window, quality)
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    return _picture(found, found.one, 0, drawing)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered",
    operation_id="rendered_frame",
    response_class=Response,
)
def rendered_frame(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    frame: FramePath,
    viewport: Viewport = None,
    window: WindowOfQuery = None,
    quality: Quality = 90,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """A frame as a picture."""
    resource = Resource(study, series, instance)
    drawing = _drawing(request, viewport, window, quality)
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    return _picture(found, found.one, frame - 1, drawing)


@router.get("/studies/{study}/thumbnail", operation_id="study_thumbnail", response_class=Response)
def study_thumbnail(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    viewport: Viewport = None,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """A small picture that stands for a study: of the instance in its middle."""
    drawing = _thumbnail(request, viewport)
    found = retrieved(request, archive, caller, Resource(study), show_burned_in=show_burned_in)
    return _picture(found, found.middle(), None, drawing)


@router.get(
    "/studies/{study}/series/{series}/thumbnail", operation_id="series_thumbnail", response_class=Response
)
def series_thumbnail(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    viewport: Viewport = None,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """A small picture that stands for a series."""
    drawing = _thumbnail(request, viewport)
    found = retrieved(request, archive, caller, Resource(study, series), show_burned_in=show_burned_in)
    return _picture(found, found.middle(), None, drawing)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/thumbnail",
    operation_id="instance_thumbnail",
    response_class=Response,
)
def instance_thumbnail(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    study: StudyPath,
    series: SeriesPath,
    instance: InstancePath,
    viewport: Viewport = None,
    show_burned_in: ShowBurnedIn = False,
) -> Response:
    """A small picture of an instance: of its middle frame."""
    resource = Resource(study, series, instance)
    drawing = _thumbnail(request, viewport)
    found = retrieved(request, archive, caller, resource, show_burned_in=show_burned_in)
    return _picture(found, found.one, None, drawing)


def _picture(found: Retrieval, one: Held, frame: int | None, drawing: Drawing) -> Response:
    picture = found.drawn(one, frame, drawing)
    return Response(picture, headers={**CACHED, "Content-Type": drawing.media_type})


def _thumbnail(request: Request, viewport: str | None) -> Drawing:
    return _drawing(request, viewport or f"{THUMBNAIL},{THUMBNAIL}", None, 85)


def _drawing(request: Request, viewport: str | None, window: str | None, quality: int) -> Drawing:
    kind = chosen(request, list(FORMATS))
    width, height = map(int, viewport.split(",")) if viewport else (None, None)
    return Drawing(kind, width, height, _window(window) if window else None, quality)


def _window(text: str) -> tuple[float, float, str]:
    parts = [part.strip() for part in text.split(",")]
    numbers = [float(part) for part in parts[:2] if _NUMBER.fullmatch(part)]
    function = _FUNCTIONS.get(parts[2].lower()) if len(parts) == 3 else "LINEAR"
    if len(numbers) != 2 or function is None or len(parts) > 3 or not math.isfinite(sum(numbers)):
        raise ServiceError(
            "bad-dicomweb-query",
            "a window is its center, its width and linear, linear-exact or sigmoid, with commas: "
            "40,400,linear.",
        )
    if numbers[1] <= 0:
        raise ServiceError("bad-dicomweb-query", "the width of a window is greater than 0.")
    return numbers[0], numbers[1], function
