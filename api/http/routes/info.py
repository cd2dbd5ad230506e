"""`/v1/info`: what the service encodes with and what it holds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.schemas.answers import Info
from medsiglip.checkpoint import Checkpoint

router = APIRouter(prefix="/v1", tags=["service"])
Reader = Annotated[Caller, Depends(requires("read"))]


@router.get("/info", operation_id="info", response_model=Info)
def info(request: Request, _caller: Reader) -> dict[str, Any]:
    """The model, its space, and the counts of the archive."""
    from importlib.metadata import version

    from medsiglip.zeroshot import list_prompt_sets

    archive: Archive = request.app.state.server.archive
    checkpoint, space = archive.checkpoint, archive.space
    index = archive.index_info()
    return {
        "version": version("medsiglip"),
        "model": model_id(checkpoint),
        "space": space.name,
        "profile": space.profile,
        "dimension": space.dimension,
        "image_size": checkpoint.image_size,
        "demonstration": checkpoint.is_demonstration,
        "prompt_sets": list(list_prompt_sets()),
        "index": {name: value for name, value in index.items() if name not in ("home", "model")},
    }


def model_id(checkpoint: Checkpoint) -> str:
    """What clients call the model: a folder by its last part, for its path is the service's own affair."""
    is_hub_id = "/" in checkpoint.name and not checkpoint.name.startswith(("/", "."))
    return checkpoint.name if is_hub_id or checkpoint.is_demonstration else checkpoint.folder.name
