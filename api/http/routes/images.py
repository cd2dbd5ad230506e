"""`/v1/images/{id}/preview`: a stored image as the model sees it, as a PNG."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from medsiglip.api.archive.previews import preview
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.ingest.header.burned_in import may_preview

router = APIRouter(prefix="/v1", tags=["cases"])
ImageId = Annotated[int, Path(ge=1, lt=2**63)]


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
    show_burned_in: Annotated[
        bool, Query(description="show what may bear a name in its pixels; for `admin`")
    ] = False,
) -> Response:
    """The image as the model sees it, rendered from its file, and kept."""
    stored = archive.index.get(image_id)
    if not may_preview(stored.quality) and not (show_burned_in and caller.may("admin")):
        raise ServiceError(
            "burned-in",
            f"image {image_id} may bear the patient's name in its pixels: a key with the scope admin sees it "
            "with show_burned_in=true.",
        )
    auditing.record_part(request, [stored.study_instance_uid], "view", image_id=image_id)
    png = preview(archive, stored, int(size))
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})
