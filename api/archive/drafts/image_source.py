"""Pictures of stored images, rendered again from the files that they came from: for generators, previews and
exports.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
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
    from medsiglip.index.storage.thumbnails import SourceImage
    from medsiglip.ingest.units.plan import Drawing
    from medsiglip.ingest.workers.render_files import Rendered
    from medsiglip.ingest.workers.rendering_pool import RenderingPool
    from medsiglip.medgemma.exports.page_pictures import StoredPreview, WithheldPicture
    from medsiglip.medgemma.records import SimilarCase

Pixels = NDArray[np.uint8]


class StoredPictures:
    """An `ImageSource` over the files of an index. A series is rendered whole, for what depends on all of it,
    such as the percentiles of MR. Pictures are drawn as the model takes them, or as people read them.
    """

    def __init__(self, index: CaseIndex, rendering_pool: RenderingPool, drawing: Drawing = "model") -> None:
        self._index = index
        self._rendering_pool = rendering_pool
        self._drawing: Drawing = drawing

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
        found = {}
        for uid in dict.fromkeys(image.series_instance_uid for image in images):
            theirs = [image for image in images if image.series_instance_uid == uid]
            drawn = drawn_images(self._index, self._rendering_pool, uid, theirs, self._drawing)
            found.update({image_id: _in_colour(one.pixels) for image_id, one in drawn.items()})
        return [found.get(image.image_id) for image in images]

    def _why_gone(self, image: StoredImage) -> str:
        if self._index.phi == "strict":
            return (
                f"the file of image {image.image_id} cannot be found: a strict home keeps no paths, so that "
                "its pictures can be read only by the process that ingested them."
            )
        return (
            f"the file of image {image.image_id} is not where it was, or has changed: put it back, "
            "ingest it again, or `pacs fetch` the study where it came from a PACS."
        )


def drawn_images(
    index: CaseIndex,
    rendering_pool: RenderingPool,
    series_instance_uid: str,
    images: Sequence[SourceImage | StoredImage],
    drawing: Drawing,
) -> dict[int, Rendered]:
    """Those of the images of a series that can be drawn again from its files, by image id.

    First as an ingest with the usual options would draw the series, then, for slices that it would leave out,
    with all slices.
    """
    from medsiglip.index.records import SEPARATOR
    from medsiglip.ingest.privacy.deidentify import known_key
    from medsiglip.ingest.units.plan import PlanOptions, magnification_of
    from medsiglip.ingest.workers.render_files import Rendered, render_files
    from medsiglip.ingest.workers.stored_hashes import as_stored, hash_options

    records = [one for one in index.files.of_series(series_instance_uid) if one.outcome == "embedded"]
    records = [one for one in records if Path(one.path.split(SEPARATOR)[0]).is_file()]
    paths, at_hand = [one.path for one in records], {one.sop_instance_uid for one in records}
    if not paths:
        return {}
    magnification = magnification_of(image.rendering for image in images)
    usual = hash_options(index) or PlanOptions()
    usual = replace(usual, magnification=magnification, drawing=drawing)
    wanted: dict[tuple[str, int, str], list[int]] = {}  # the same pictures in several spaces
    for image in images:
        wanted.setdefault((*_place(image), image.pixel_hash), []).append(image.image_id)
    places = {_place(one) for one in images}
    found: dict[int, Rendered] = {}
    for options in (usual, replace(usual, max_slices=None)):
        rendered = render_files(paths, options, known_key(index), rendering_pool)
        drawn = [one for one in rendered if isinstance(one, Rendered) and _place(one) in places]
        for one in as_stored(index, drawn):
            found.update(dict.fromkeys(wanted.get((*_place(one), one.pixel_hash), ()), one))
        left_out = places - {_place(one) for one in drawn}
        if not any(sop_instance_uid in at_hand for sop_instance_uid, _ in left_out):
            break
    return found


def _place(image: SourceImage | StoredImage | Rendered) -> tuple[str, int]:
    return image.sop_instance_uid, image.frame


class AvailablePictures:
    """Pictures for documents, which must leave also when files are gone: what is left of each image."""

    def __init__(self, archive: OpenedArchive) -> None:
        self._index = archive.index
        self._pictures = StoredPictures(archive.index, archive.rendering_pool, "display")

    def pictures(self, image_ids: Sequence[int]) -> list[Pixels | StoredPreview | None]:
        """Of each image its display values uint8 [height, width, 3], CT grey by its window; where its file is
        gone its largest stored preview or its thumbnail, and None where there is none.
        """
        stored = {one: self._stored(one) for one in image_ids}
        known = [image for image in stored.values() if image is not None]
        found = dict(zip((one.image_id for one in known), self._pictures.found(known), strict=True))
        return [self._preview(one) if found.get(one) is None else found[one] for one in image_ids]

    def similar(self, cases: Sequence[SimilarCase]) -> list[Pixels | StoredPreview | WithheldPicture | None]:
        """A small picture of each similar case, uint8 [height, width, 3]: its image that is most like the
        study, or in drafts of earlier versions the one in its middle. Withheld where the image may name its
        patient, None where nothing is left of it.
        """
        return [self._of_case(case) for case in cases]

    def _of_case(self, case: SimilarCase) -> Pixels | StoredPreview | WithheldPicture | None:
        from medsiglip.ingest.header.burned_in import may_preview
        from medsiglip.medgemma.exports.page_pictures import WithheldPicture

        image = None if case.image_id is None else self._stored(case.image_id)
        if image is None:
            try:
                images = self._index.images_of(case.study_instance_uid)
            except CatalogError as error:
                if error.code != "unknown-study":
                    raise
                return None  # it was forgotten since
            image = images[len(images) // 2] if images else None
        if image is None:
            return None
        if not may_preview(image.quality):
            return WithheldPicture()
        thumbnail = self._index.thumbnails.one(image.image_id).thumbnail
        if thumbnail is not None:
            return _in_colour(jpeg_pixels(thumbnail.content))
        return self.pictures([image.image_id])[0]

    def _stored(self, image_id: int) -> StoredImage | None:
        try:
            return self._index.get(image_id)
        except CatalogError as error:
            if error.code != "unknown-image":
                raise
            return None  # its instance was forgotten or rendered anew since

    def _preview(self, image_id: int) -> StoredPreview | None:
        """The preview with the most pixels (medsiglip.api.archive.pictures.previews), drawn for people if
        there is one; or else the thumbnail.
        """
        from medsiglip.medgemma.exports.page_pictures import StoredPreview
        from medsiglip.pictures import PictureError, read_picture

        objects = self._index.objects
        kept = objects.matching(f"previews/{image_id}.*.png")
        for name in sorted(kept, key=lambda one: (".display." not in one, -int(one.split(".")[1]))):
            with suppress(PictureError, FileNotFoundError):
                return StoredPreview(_in_colour(read_picture(io.BytesIO(objects.read(name)))))
        shown = self._index.thumbnails.shown([image_id]).get(image_id)
        if shown is None or shown.thumbnail is None:
            return None
        return StoredPreview(_in_colour(jpeg_pixels(shown.thumbnail.content)))


def jpeg_pixels(content: bytes) -> Pixels:
    """The pixels uint8 [height, width] or [height, width, 3] of a thumbnail."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def _in_colour(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
