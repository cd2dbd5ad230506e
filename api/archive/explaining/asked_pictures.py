"""The pictures that `why` is asked about: of a file, of a stored study or a stored image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.answer import AskedImage
from medsiglip.api.archive.drafts.image_source import StoredPictures
from medsiglip.api.archive.queries import Picture, pictures_of_study, rendered_file
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.files import AnyPath
    from medsiglip.api.archive.opened import OpenedArchive

Pixels = NDArray[np.uint8]
Score = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One of a picture file, a stored study and a stored image."""

    file: AnyPath | None = None
    study: str | None = None
    image_id: int | None = None

    @property
    def count(self) -> int:
        """How many were given."""
        return sum(one is not None for one in (self.file, self.study, self.image_id))


@dataclass(frozen=True, slots=True)
class Shown:
    """An image with its display values uint8 [H, W] or [H, W, 3], model input uint8 [S, S, 3] and unit-length
    `vector` [d]; `study` is that of a stored image.
    """

    named: AskedImage
    pixels: Pixels
    model_input: Pixels
    vector: NDArray[np.float32]
    study: str | None = None


def asked_picture(archive: OpenedArchive, asked: Asked, score: Score, *, burned_in: bool) -> Shown:
    """The one image asked about; of a file or a study that holds several, the one of the highest `score`,
    which maps vectors [n, d] to [n].

    Stored images are drawn again from their files. Raises ServiceError with the code of the reason where that
    cannot be, and `burned-in` for a stored image that may bear a name in its pixels unless `burned_in`.
    """
    if asked.file is not None:
        return _of_file(archive, asked.file, score)
    if asked.study is not None:
        pictures = pictures_of_study(archive, asked.study)
        best = int(score(np.stack([picture.vector for picture in pictures])).argmax())
        return _stored(archive, _id_of(pictures, best), burned_in=burned_in)
    assert asked.image_id is not None
    return _stored(archive, asked.image_id, burned_in=burned_in)


def _of_file(archive: OpenedArchive, path: AnyPath, score: Score) -> Shown:
    rendered = rendered_file(path, archive)
    inputs = _model_inputs(archive, [one.pixels for one in rendered])
    vectors = archive.encoder.encode_images(inputs)
    best = int(score(vectors).argmax())
    named = AskedImage.model_validate(rendered[best])
    return Shown(named, rendered[best].pixels, inputs[best], vectors[best])


def _stored(archive: OpenedArchive, image_id: int, *, burned_in: bool) -> Shown:
    from medsiglip.ingest.header.burned_in import may_preview

    image = archive.index.get(image_id)
    if not burned_in and not may_preview(image.quality):
        raise ServiceError(
            "burned-in",
            f"image {image_id} may bear the patient's name in its pixels: it is shown with show_burned_in, "
            "over HTTP to a key with the scope admin.",
        )
    [pixels] = StoredPictures(archive.index, archive.rendering_pool).pictures([image_id])
    [model_input] = _model_inputs(archive, [pixels])
    [vector] = archive.index.vectors([image_id])
    return Shown(AskedImage.model_validate(image), pixels, model_input, vector, image.study_instance_uid)


def _model_inputs(archive: OpenedArchive, pictures: Sequence[Pixels]) -> list[Pixels]:
    from medsiglip.preprocess import to_model_input

    size, profile = archive.encoder.image_size, archive.space.profile
    return [to_model_input(one, size, profile) for one in pictures]


def _id_of(pictures: Sequence[Picture], row: int) -> int:
    image_id = pictures[row].image_id
    assert image_id is not None
    return image_id
