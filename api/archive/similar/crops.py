"""A region of a picture as a question: it is rendered whole, cut out, and encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.queries import Vector, known_pictures, rendered_file
from medsiglip.api.archive.similar.parts import Part, middle_of
from medsiglip.api.archive.similar.question import Box, Question

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


def cropped_part(archive: OpenedArchive, question: Question) -> Part:
    """The region of the one image that is asked about, at the full resolution of its rendering.

    A stored image is rendered again from its file: ServiceError `picture-gone` where that is not there.
    """
    assert question.crop is not None
    if question.images:
        rendered = rendered_file(question.images[0], archive)
        pictures = known_pictures(archive, rendered)
        middle = middle_of(pictures)
        pixels = next(
            one.pixels for one, picture in zip(rendered, pictures, strict=True) if picture is middle
        )
        description = {**middle.named.to_json(), "images": len(pictures)}
        identity, patient_key = f"{middle.pixel_hash}/{middle.frame}", middle.patient_key
    else:
        from medsiglip.api.archive.drafts.image_source import StoredPictures

        stored = archive.index.get(question.image_ids[0])
        [pixels] = StoredPictures(archive.index, archive.rendering_pool).pictures([stored.image_id])
        description = {"image_id": stored.image_id, "study_instance_uid": stored.study_instance_uid}
        identity, patient_key = str(stored.image_id), stored.patient_key
    vector = _encoded(archive, cut_out(pixels, question.crop))
    return Part(vector, description, identity, patient_key, images=vector[None], image_ids=(None,))


def cut_out(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The region of a picture, uint8 [height, width, ...], that holds every pixel of which a part lies within
    the box: at least one.
    """
    height, width = pixels.shape[:2]
    left, right = _edges(box[0], box[2], width)
    top, bottom = _edges(box[1], box[3], height)
    return pixels[top:bottom, left:right]


def _edges(low: float, high: float, size: int) -> tuple[int, int]:
    first = min(int(low * size), size - 1)
    return first, min(max(int(np.ceil(high * size)), first + 1), size)


def _encoded(archive: OpenedArchive, pixels: NDArray[np.uint8]) -> Vector:
    from medsiglip.preprocess import to_model_input

    encoder = archive.encoder
    inputs = [to_model_input(pixels, encoder.image_size, archive.space.profile)]
    vector: Vector = encoder.encode_images(inputs)[0]
    return vector
