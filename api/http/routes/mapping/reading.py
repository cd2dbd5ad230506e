"""`GET /v1/map` and below: a map, its points and their colours, where a text belongs, and what stands
apart."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, Query, Request, Response

from medsiglip.answers.answer import Level
from medsiglip.answers.maps import DuplicateList, Map, MapColours, MapList, MapPlace, OutlierList
from medsiglip.api.archive.mapping.lists import LEAST_COSINE, MOST_LISTED
from medsiglip.api.archive.mapping.places import MOST_NEIGHBOURS
from medsiglip.api.archive.mapping.shown import ShownMap
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.schemas import NO_NUL
from medsiglip.names import LONGEST_LABEL

router = APIRouter(prefix="/v1/map", tags=["map"])
ARROW = "application/vnd.apache.arrow.stream"
BYTES = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
MapLevel = Annotated[Level, Query(description="what a point is")]
Version = Annotated[int | None, Query(ge=1, lt=2**31, description="the newest, when unset")]
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED)]
Text = Annotated[
    str | None, Query(min_length=1, max_length=LONGEST_LABEL, pattern=NO_NUL, description="to look for")
]


@router.get("", operation_id="get_map")
def get_map(
    archive: ServedArchive, _caller: Reader, level: MapLevel = "study", version: Version = None
) -> Map:
    """The newest map of a level, or an older version: how it was made, what it is worth, and by what its
    points may be coloured.
    """
    return archive.map(level=level, version=version)


@router.get("/versions", operation_id="list_maps")
def list_maps(archive: ServedArchive, _caller: Reader) -> MapList:
    """The maps that are kept, three versions of a level at most."""
    return archive.maps()


@router.get(
    "/points",
    operation_id="map_points",
    response_class=Response,
    responses={
        200: {
            "content": {BYTES: _BINARY, ARROW: _BINARY},
            "description": "float32 x and y of each point in turn, then the uint32 ids of the images that "
            "stand for them, little-endian; or a stream of Arrow with x, y and image_id",
        }
    },
)
def map_points(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    level: MapLevel = "study",
    version: Version = None,
    accept: Annotated[str, Header()] = "*/*",
) -> Response:
    """Every point of a map."""
    shown = archive.map_points(level=level, version=version)
    auditing.record(request, "map", level=level, version=shown.record.version, points=len(shown.image_ids))
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    if ARROW in accept:
        return Response(_arrow(shown), media_type=ARROW, headers=headers)
    return Response(_bytes(shown), media_type=BYTES, headers=headers)


def _bytes(shown: ShownMap) -> bytes:
    if shown.image_ids.max(initial=0) >= 2**32:
        raise ServiceError(
            "not-acceptable", f"the ids of this archive take more than 32 bits: accept {ARROW}."
        )
    return shown.places.astype("<f4").tobytes() + shown.image_ids.astype("<u4").tobytes()


def _arrow(shown: ShownMap) -> bytes:
    import pyarrow as pa

    x, y = np.ascontiguousarray(shown.places.T)
    columns = {"x": pa.array(x), "y": pa.array(y), "image_id": pa.array(shown.image_ids, pa.int64())}
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@router.get("/colours", operation_id="map_colours", response_model_exclude_unset=True)
def map_colours(
    archive: ServedArchive,
    _caller: Reader,
    field: Annotated[
        str, Query(min_length=1, max_length=LONGEST_LABEL, pattern=NO_NUL, description="as the map names it")
    ],
    level: MapLevel = "study",
    version: Version = None,
) -> MapColours:
    """What the points of a map have of a field, in their order."""
    return archive.map_colours(field, level=level, version=version)


@router.get("/place", operation_id="map_place")
def map_place(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    text: Text = None,
    image_id: Annotated[int | None, Query(ge=1, lt=2**63, description="instead of a text")] = None,
    k: Annotated[int, Query(ge=1, le=MOST_NEIGHBOURS)] = 10,
    level: MapLevel = "study",
    version: Version = None,
) -> MapPlace:
    """Where a text or a stored image belongs on a map: its nearest in truth, and where they stand."""
    found = archive.map_place(text=text, image_id=image_id, k=k, level=level, version=version)
    auditing.record_list(request, "search", [one.study_instance_uid for one in found.neighbours])
    return found


@router.get("/outliers", operation_id="map_outliers")
def map_outliers(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    limit: Limit = 20,
    level: MapLevel = "study",
    version: Version = None,
) -> OutlierList:
    """The cases that are least like all of other studies."""
    found = archive.map_outliers(limit=limit, level=level, version=version)
    auditing.record_list(request, "list", [one.study_instance_uid for one in found.outliers])
    return found


@router.get("/duplicates", operation_id="map_duplicates")
def map_duplicates(
    request: Request,
    archive: ServedArchive,
    _caller: Reader,
    min_cosine: Annotated[float, Query(ge=LEAST_COSINE, le=1)] = 0.98,
    other_patients: Annotated[bool, Query(description="only those of several patients")] = False,
    limit: Limit = 20,
    level: MapLevel = "study",
    version: Version = None,
) -> DuplicateList:
    """Groups of cases of several studies that are nearly the same."""
    found = archive.map_duplicates(
        min_cosine=min_cosine, other_patients=other_patients, limit=limit, level=level, version=version
    )
    shown = [one.study_instance_uid for group in found.groups for one in group.cases]
    auditing.record_list(request, "list", shown)
    return found
