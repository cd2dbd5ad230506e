"""`/v1/images/{id}/preview` and its thumbnails: a stored image as the model takes it or as people read it."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from medsiglip.answers.pictures import ThumbnailList
from medsiglip.api.archive.pictures.previews import Drawn, preview
from medsiglip.api.archive.pictures.thumbnails import MOST_AT_ONCE, thumbnail_of, thumbnails
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.index.storage.thumbnails import tag_of
from medsiglip.ingest.header.burned_in import may_preview
from medsiglip.ingest.render.thumbnail import CONTENT_TYPE

router = APIRouter(prefix="/v1", tags=["cases"])
ImageId = Annotated[int, Path(ge=1, lt=2**63)]
ImageIds = Annotated[
    list[Annotated[int, Field(ge=1, lt=2**63)]],
    Query(alias="image_id", min_length=1, max_length=MOST_AT_ONCE, description="repeated for each image"),
]
_FOR_A_WHILE = {"Cache-Control": "private, max-age=300"}


class PreviewSize(IntEnum):
    """The longer sides of previews, in pixels; each is kept in a file of its own.

    An enumeration, because a query parameter is text, which pydantic turns into no `Literal` of integers.
    """

    SMALL = 128
    MEDIUM = 256
    LARGE = 512
    LARGEST = 1024


@router.get(
    "/images/{image_id}/preview",
    operation_id="preview",
    response_class=Response,
    responses={
        200: {
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "description": "a PNG",
        }
    },
)
def get_preview(
    request: Request,
    archive: ServedArchive,
    image_id: ImageId,
    caller: Reader,
    size: Annotated[PreviewSize, Query(description="of the longer side")] = PreviewSize.MEDIUM,
    drawn: Annotated[
        Drawn, Query(description="as the model takes it, or as people read it: CT grey by its window")
    ] = "model",
    show_burned_in: Annotated[
        bool, Query(description="show what may bear a name in its pixels; for `admin`")
    ] = False,
) -> Response:
    """The image as the model takes it or as people read it, rendered from its file, and kept."""
    stored = archive.index.get(image_id)
    if not may_preview(stored.quality) and not (show_burned_in and caller.may("admin")):
        raise ServiceError(
            "burned-in",
            f"image {image_id} may bear the patient's name in its pixels: a key with the scope admin sees it "
            "with show_burned_in=true.",
        )
    auditing.record_part(request, [stored.study_instance_uid], "view", image_id=image_id)
    png = preview(archive, stored, int(size), drawn)
    return Response(png, media_type="image/png", headers=_FOR_A_WHILE)


@router.get(
    "/images/{image_id}/thumbnail",
    operation_id="thumbnail",
    response_class=Response,
    responses={
        200: {
            "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            "description": "a JPEG whose longer side has at most 192 pixels",
        }
    },
)
def get_thumbnail(request: Request, archive: ServedArchive, image_id: ImageId, _caller: Reader) -> Response:
    """A small picture of the image as people read it, made when it was ingested."""
    study, content = thumbnail_of(archive, image_id)
    auditing.record_part(request, [study], "list", image_id=image_id)
    headers = {**_FOR_A_WHILE, "ETag": f'"{tag_of(content)}"'}
    return Response(content, media_type=CONTENT_TYPE, headers=headers)


@router.get(
    "/thumbnails",
    operation_id="thumbnails",
    response_model=ThumbnailList,
    response_model_exclude_unset=True,
)
def get_thumbnails(
    request: Request, response: Response, archive: ServedArchive, image_ids: ImageIds, _caller: Reader
) -> ThumbnailList:
    """Small pictures of several images, or why one has none."""
    found = thumbnails(
        archive, image_ids, on_shown=lambda studies: auditing.record_part(request, studies, "list")
    )
    settled = all(line.code not in ("not-made-yet", "picture-gone") for line in found.thumbnails)
    response.headers["Cache-Control"] = "private, max-age=300" if settled else "private, no-cache"
    return found
