"""Pictures of stored images, rendered again from the files that they came from: for generators, previews and
exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.records import StoredImage
    from medsiglip.ingest.workers.render_files import Rendered
    from medsiglip.ingest.workers.rendering_pool import RenderingPool
    from medsiglip.medgemma.exports.page_pictures import StoredPreview

Pixels = NDArray[np.uint8]


class StoredPictures:
    """An `ImageSource` over the files of an index. A series is rendered whole, for what depends on all of it,
    such as the percentiles of MR.
    """

    def __init__(self, index: CaseIndex, rendering_pool: RenderingPool) -> None:
        self._index = index
        self._rendering_pool = rendering_pool

    def pictures(self, image_ids: Sequence[int]) -> list[Pixels]:
        """Display values uint8 [height, width, 3] of each image. Raises ServiceError `picture-gone` where its
        file is not where it was, or does not hold the same pixels, and where the home keeps no paths.
        """
        stored = [self._index.get(image_id) for image_id in image_ids]
        found = self.found(stored)
        for image, pixels in zip(stored, found, strict=True):
            if pixels is None:
                raise ServiceError("picture-gone", self._why_gone(image))
        return [pixels for pixels in found if pixels is not None]

    def found(self, images: Sequence[StoredImage]) -> list[Pixels | None]:
        """As `pictures`, with None for an image whose file is not there any more."""
        rendered: dict[tuple[str, int, str], Rendered] = {}
        for uid in dict.fromkeys(image.series_instance_uid for image in images):
            rendered.update(self._series(uid))
        ones = (rendered.get((one.sop_instance_uid, one.frame, one.pixel_hash)) for one in images)
        return [None if one is None else _in_colour(one.pixels) for one in ones]

    def _why_gone(self, image: StoredImage) -> str:
        if self._index.phi == "strict":
            return (
                f"the file of image {image.image_id} cannot be found: a strict home keeps no paths, so that "
                "its pictures can be read only by the process that ingested them."
            )
        return (
            f"the file of image {image.image_id} is not where it was, or has changed: put it back, or "
            "ingest it again."
        )

    def _series(self, series_instance_uid: str) -> dict[tuple[str, int, str], Rendered]:
        from medsiglip.index.records import SEPARATOR
        from medsiglip.ingest.privacy.deidentify import known_key
        from medsiglip.ingest.workers.render_files import Rendered, render_files
        from medsiglip.ingest.workers.stored_hashes import as_stored, hash_options

        records = self._index.files.of_series(series_instance_uid)
        paths = [record.path for record in records if record.outcome == "embedded"]
        paths = [path for path in paths if Path(path.split(SEPARATOR)[0]).is_file()]
        options, key = hash_options(self._index), known_key(self._index)
        images = render_files(paths, options, key, self._rendering_pool) if paths else iter(())
        usable = [one for one in images if isinstance(one, Rendered)]
        return {
            (one.sop_instance_uid, one.frame, one.pixel_hash): one for one in as_stored(self._index, usable)
        }


class AvailablePictures:
    """Pictures for documents, which must leave also when files are gone: what is left of each image."""

    def __init__(self, archive: OpenedArchive) -> None:
        self._index = archive.index
        self._previews = archive.home / "previews"
        self._pictures = StoredPictures(archive.index, archive.rendering_pool)

    def pictures(self, image_ids: Sequence[int]) -> list[Pixels | StoredPreview | None]:
        """Of each image its display values uint8 [height, width, 3]; where its file is gone its largest
        stored preview, and None where there is none.
        """
        stored = {one: self._stored(one) for one in image_ids}
        known = [image for image in stored.values() if image is not None]
        found = dict(zip((one.image_id for one in known), self._pictures.found(known), strict=True))
        return [self._preview(one) if found.get(one) is None else found[one] for one in image_ids]

    def _stored(self, image_id: int) -> StoredImage | None:
        try:
            return self._index.get(image_id)
        except CatalogError as error:
            if error.code != "unknown-image":
                raise
            return None  # its instance was forgotten or rendered anew since

    def _preview(self, image_id: int) -> StoredPreview | None:
        """The preview with the most pixels (medsiglip.api.archive.previews)."""
        from medsiglip.medgemma.exports.page_pictures import StoredPreview
        from medsiglip.pictures import PictureError, read_picture

        kept = self._previews.glob(f"{image_id}.*.png")
        for path in sorted(kept, key=lambda one: -int(one.name.split(".")[1])):
            with suppress(PictureError):
                return StoredPreview(_in_colour(read_picture(path)))
        return None


def _in_colour(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
