"""Parts of a question: a text, a picture, a study, each with its vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.api.archive.queries import Picture, Vector, pictures_of_study, stored_study_uid
from medsiglip.index.errors import CatalogError
from medsiglip.numerics import mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A unit-length `vector` [d], what to call it, and what tells it from others. `own_image` or `own_study`
    is the stored image or study that it is, `images` [m, d] are the vectors of its images, with their ids.
    """

    vector: Vector
    description: dict[str, Any]
    identity: str
    patient_key: str | None = None
    own_image: int | None = None
    own_study: str | None = None
    images: Vector | None = None
    image_ids: tuple[int | None, ...] = ()


def middle_of(pictures: Sequence[Picture]) -> Picture:
    """The image that stands for a file: the middle one, of those that are stored if some are."""
    known = [picture for picture in pictures if picture.image_id is not None] or pictures
    return known[len(known) // 2]


class StoredParts:
    """Images and studies of the archive as parts of questions, each looked up once."""

    def __init__(self, archive: OpenedArchive) -> None:
        self._archive = archive
        self._images: dict[int, Part] = {}
        self._studies: dict[str, Part] = {}

    def find_images(self, image_ids: Iterable[int]) -> None:
        """Look up images in one go; those that are not there are left to `image`."""
        index = self._archive.index
        wanted = sorted(one for one in set(image_ids).difference(self._images) if 0 < one < 2**63)
        owners = index.instances.owners_of_images(wanted) if wanted else {}
        try:
            vectors = index.vectors(list(owners))
        except CatalogError as error:
            if error.code != "unknown-image":
                raise
            return  # one was deleted since
        for (image_id, (study, patient_key)), vector in zip(owners.items(), vectors, strict=True):
            self._images[image_id] = _stored_image(image_id, study, patient_key, vector[None])

    def image(self, image_id: int) -> Part:
        """A stored image, also by its id in another space of the home. CatalogError `unknown-image`."""
        if image_id not in self._images:
            stored = self._archive.index.get(image_id)
            vectors = self._archive.index.vectors([stored.image_id])
            self._images[image_id] = _stored_image(
                stored.image_id, stored.study_instance_uid, stored.patient_key, vectors
            )
        return self._images[image_id]

    def study(self, study: str) -> Part:
        """A stored study: the mean of its images. Raises CatalogError `unknown-study`."""
        if study not in self._studies:
            self._studies[study] = _stored_study(self._archive, study)
        return self._studies[study]


def _stored_image(image_id: int, study: str, patient_key: str, vectors: Vector) -> Part:
    description = {"image_id": image_id, "study_instance_uid": study}
    return Part(vectors[0], description, str(image_id), patient_key, image_id, study, vectors, (image_id,))


def _stored_study(archive: OpenedArchive, study: str) -> Part:
    uid = stored_study_uid(archive, study)
    pictures = pictures_of_study(archive, uid)
    vectors = np.stack([picture.vector for picture in pictures])
    return Part(
        mean_vector(vectors),
        {"study_instance_uid": uid, "images": len(pictures)},
        uid,
        pictures[0].patient_key,
        own_study=uid,
        images=vectors,
        image_ids=tuple(picture.image_id for picture in pictures),
    )
