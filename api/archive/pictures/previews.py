"""Previews of stored images, kept below the home's folder `previews/` until their patient goes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from medsiglip.api.archive.drafts.image_source import StoredPictures
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import StoredImage

Drawn = Literal["model", "display"]
"""As the model takes the image, or as people read it: CT grey by its window."""


def preview(archive: OpenedArchive, image: StoredImage, size: int, drawn: Drawn = "model") -> bytes:
    """A PNG whose longer side has at most `size` pixels. Raises ServiceError `picture-gone` where the file
    that the image came from is not where it was.
    """
    from PIL import Image

    # `previews/<image_id>.*` is removed with the image (medsiglip.index.storage.deletion).
    kept = archive.home / "previews" / preview_name(image, size, drawn)
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        pass
    [pixels] = StoredPictures(archive.index, archive.rendering_pool, drawn).pictures([image.image_id])
    picture = Image.fromarray(pixels)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "png")
    _keep(kept, written.getvalue())
    try:
        archive.index.get(image.image_id)
    except CatalogError:  # removed meanwhile, and its previews before this one was there
        kept.unlink(missing_ok=True)
        raise
    return written.getvalue()


def preview_name(image: StoredImage, size: int, drawn: Drawn) -> str:
    """The name of the file of a preview; both drawings are the same picture but of `COMPOSITES`."""
    from medsiglip.ingest.render.reading import COMPOSITES

    differs = drawn == "display" and image.rendering in COMPOSITES
    return f"{image.image_id}.{size}.display.png" if differs else f"{image.image_id}.{size}.png"


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # With this name it is removed with the image, should this process be killed.
    beside = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    beside.write_bytes(content)
    os.replace(beside, path)
