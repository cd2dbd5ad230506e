"""The pictures of some cases, read again from their files, changed, and encoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.opened import OnProgress, OpenedArchive
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.records import CaseTable, StoredImage
    from medsiglip.shifts.alterations import Alteration

MOST_IMAGES = 16
"""Of one case."""


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Rows [n] of a table, and the images that may stand for them, by id."""

    table: CaseTable
    rows: NDArray[np.intp]
    images: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class AlteredCases:
    """`rows` [n] of a table of which at least one picture was read; its `images` [m] belong to the rows at
    `row_of` [m]. `vectors` are float32 [m, d] by the name of the change, "" for the pictures as they are.
    `missing` counts images without a file, `left_out` rows without one.
    """

    rows: NDArray[np.intp]
    images: tuple[StoredImage, ...]
    row_of: NDArray[np.intp]
    vectors: dict[str, NDArray[np.float32]]
    missing: int
    left_out: int
    warnings: tuple[str, ...]


def altered_cases(
    archive: OpenedArchive, chosen: ChosenRows, alterations: Sequence[Alteration], on_progress: OnProgress
) -> AlteredCases:
    """Read, change and encode the pictures of the chosen rows, study by study: memory holds the pictures of
    one, and of all images the vectors. Raises ServiceError `no-pictures` where no file is left.
    """
    from medsiglip.api.archive.drafts.image_source import StoredPictures
    from medsiglip.preprocess import to_model_input

    pictures = StoredPictures(archive.index, archive.rendering_pool)
    encoder, profile = archive.patient_encoder, archive.space.profile
    images: list[StoredImage] = []
    row_of: list[int] = []
    vectors: dict[str, list[NDArray[np.float32]]] = {
        name: [] for name in ("", *(a.name for a in alterations))
    }
    missing = thinned = done = 0
    for place, theirs, whole in _images(archive, chosen):
        thinned += whole > len(theirs)
        found = pictures.found(theirs)
        missing += sum(pixels is None for pixels in found)
        for image, pixels in zip(theirs, found, strict=True):
            if pixels is None:
                continue
            pixels = _reduced(pixels, 2 * encoder.image_size)
            seed = zlib.crc32(f"{image.sop_instance_uid} {image.frame}".encode())
            drawn = [pixels, *(one.change(pixels, np.random.default_rng(seed)) for one in alterations)]
            encoded = encoder.encode_images(
                [to_model_input(one, encoder.image_size, profile) for one in drawn]
            )
            for name, vector in zip(vectors, encoded, strict=True):
                vectors[name].append(vector)
            images.append(image)
            row_of.append(place)
        done += 1
        on_progress("changing and encoding", done, len(chosen.rows))
    if not images:
        raise ServiceError(
            "no-pictures",
            f"none of the files of {len(chosen.rows)} cases is where it was: put them back, or ingest them "
            "again.",
        )
    held, where = np.unique(np.array(row_of, np.intp), return_inverse=True)
    told = []
    if missing:
        told.append(f"the files of {missing} images are not where they were, or have changed: left out.")
    if thinned:
        told.append(f"of {thinned} cases with more than {MOST_IMAGES} images, {MOST_IMAGES} were looked at.")
    return AlteredCases(
        chosen.rows[held],
        tuple(images),
        where.astype(np.intp),
        {name: np.stack(found) for name, found in vectors.items()},
        missing,
        len(chosen.rows) - len(held),
        tuple(told),
    )


def _reduced(pixels: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """The picture, its longer side at most so many pixels: noise and compression count at the scale of what
    the model sees, and cost no more for a large picture.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    if max(height, width) <= most:
        return pixels
    size = max(1, round(width * most / max(height, width))), max(1, round(height * most / max(height, width)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), np.uint8)


def _images(archive: OpenedArchive, chosen: ChosenRows) -> Iterator[tuple[int, list[StoredImage], int]]:
    """For each chosen row its place, its images, evenly thinned, and how many there were."""
    level = chosen.table.level
    studies: dict[str, list[int]] = {}
    for place, row in enumerate(chosen.rows.tolist()):
        studies.setdefault(chosen.table.study_instance_uids[row], []).append(place)
    for study, places in studies.items():
        stored = [one for one in archive.index.images_of(study) if one.image_id in chosen.images]
        for place in places:
            name = chosen.table.ids[chosen.rows[place]]
            keys = {"image": "image_id", "series": "series_instance_uid", "study": "study_instance_uid"}
            theirs = [one for one in stored if str(getattr(one, keys[level])) == name]
            spread = np.unique(np.linspace(0, len(theirs) - 1, min(len(theirs), MOST_IMAGES)).astype(int))
            yield place, [theirs[number] for number in spread.tolist()], len(theirs)
