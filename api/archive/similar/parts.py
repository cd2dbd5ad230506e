"""Parts of a question: a text, a picture, a study, each with its vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.queries import Picture, Vector

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


def part_of_image(archive: OpenedArchive, image_id: int) -> Part:
    """A stored image. Raises CatalogError `unknown-image`."""
    stored = archive.index.get(image_id)
    vectors = archive.index.vectors([stored.image_id])
    return Part(
        vectors[0],
        {"image_id": stored.image_id, "study_instance_uid": stored.study_instance_uid},
        str(stored.image_id),
        stored.patient_key,
        stored.image_id,
        stored.study_instance_uid,
        vectors,
        (stored.image_id,),
    )
