"""`/v1/info`: what the service encodes with and what it holds."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter

from medsiglip.answers.service import IndexCounts, Info, ViewerLink
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.viewers.installed import list_viewers
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.checkpoint import Checkpoint

router = APIRouter(prefix="/v1", tags=["service"])


@router.get("/info", operation_id="info")
def info(archive: ServedArchive, _caller: Reader) -> Info:
    """The model, its space, and the counts of the archive."""
    from importlib.metadata import version

    from medsiglip.zero_shot.prompt_file import list_prompt_sets

    checkpoint, space = archive.checkpoint, archive.space
    return Info(
        version=version("medsiglip"),
        model=model_id(checkpoint),
        space=space.name,
        profile=space.profile,
        dimension=space.dimension,
        image_size=checkpoint.image_size,
        demonstration=checkpoint.is_demonstration,
        prompt_sets=list_prompt_sets(),
        index=IndexCounts.model_validate(archive.index.info()),
        viewers=tuple(ViewerLink(name=name, url=url) for name, url in _viewers(archive)),
        phi=archive.index.phi,
    )


def _viewers(archive: Archive) -> Iterator[tuple[str, str]]:
    """OHIF where the home has it, and what the setting names."""
    if list_viewers(archive)["viewers"]:
        yield "OHIF", "/ohif/viewer?StudyInstanceUIDs={study}"
    for viewer in archive.settings.viewers:
        name, _, url = viewer.partition("=")
        yield name, url


def model_id(checkpoint: Checkpoint) -> str:
    """The model's name for clients: of a folder its last part alone, without the path on the server."""
    is_hub_id = "/" in checkpoint.name and not checkpoint.name.startswith(("/", "."))
    return checkpoint.name if is_hub_id or checkpoint.is_demonstration else checkpoint.folder.name
