"""Previews of stored images, kept as objects `previews/<name>` until their patient goes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

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
    objects, kept = archive.index.objects, f"previews/{preview_name(image, size, drawn)}"
    with suppress(FileNotFoundError):
        return objects.read(kept)
    [pixels] = StoredPictures(archive.index, archive.rendering_pool, drawn).pictures([image.image_id])
    picture = Image.fromarray(pixels)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "png")
    with _another_may_be_kept():
        objects.put_new(kept, [written.getbuffer()])
    try:
        archive.index.get(image.image_id)
    except CatalogError:  # removed meanwhile, and its previews before this one was there
        archive.index.delete_objects([kept])
        raise
    return written.getvalue()


def preview_name(image: StoredImage, size: int, drawn: Drawn) -> str:
    """The name of the file of a preview; both drawings are the same picture but of `COMPOSITES`."""
    from medsiglip.ingest.render.reading import COMPOSITES

    differs = drawn == "display" and image.rendering in COMPOSITES
    return f"{image.image_id}.{size}.display.png" if differs else f"{image.image_id}.{size}.png"


@contextmanager
def _another_may_be_kept() -> Iterator[None]:
    """Two processes may draw the same at once, and not byte by byte with two versions of a library."""
    try:
        yield
    except CatalogError as error:
        if error.code != "object-exists":
            raise
