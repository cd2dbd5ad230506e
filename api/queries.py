"""What a question is asked about: the images of a picture file, or of a study of the archive, with their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from api.errors import ServiceError

if TYPE_CHECKING:
    from api.service import AnyPath, Archive
    from index.records import StoredImage
    from ingest.pipeline import Rendered

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with its unit-length `vector` [d]; `image_id` is None for an image that is not in the archive."""

    path: str | None
    sop_instance_uid: str | None
    frame: int
    rendering: str
    warnings: tuple[str, ...]
    patient_key: str | None
    image_id: int | None
    vector: Vector

    def to_json(self) -> dict[str, Any]:
        """What names the image, without its vector."""
        return {
            "path": self.path,
            "sop_instance_uid": self.sop_instance_uid,
            "frame": self.frame,
            "image_id": self.image_id,
            "rendering": self.rendering,
            "warnings": list(self.warnings),
        }


def pictures_of_study(archive: Archive, uid: str) -> list[Picture]:
    """The images of a study with their stored vectors. Raises CatalogError `unknown-study`."""
    images = archive.index.images_of(uid)
    if not images:
        raise ServiceError("empty-study", f"study {uid} holds no image: ingest its files again.")
    vectors = archive.index.vectors([image.image_id for image in images])
    return [_stored(image, vector) for image, vector in zip(images, vectors, strict=True)]


def pictures_of_file(archive: Archive, path: AnyPath) -> list[Picture]:
    """The images of a picture file: stored vectors where the archive has them, else encoded now.

    Raises IngestError with the code of the reason when the file holds no usable picture.
    """
    rendered = rendered_file(path)
    pictures = [_known(archive, one) for one in rendered]
    missing = [i for i, picture in enumerate(pictures) if picture.image_id is None]
    if missing:
        from medsiglip.preprocess import to_model_input

        space, encoder = archive.space, archive.encoder
        inputs = [to_model_input(rendered[i].pixels, encoder.image_size, space.profile) for i in missing]
        for i, vector in zip(missing, encoder.encode_images(inputs), strict=True):
            pictures[i] = replace(pictures[i], vector=vector)
    return pictures


def mean_vector(vectors: Sequence[Vector]) -> Vector:
    """Unit-length mean [d] of unit-length vectors: how series and studies get theirs."""
    mean = np.mean(np.asarray(vectors, dtype=np.float64), axis=0)
    unit: Vector = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit


def rendered_file(path: AnyPath) -> list[Rendered]:
    """Every drawn image of one file. Raises ServiceError with the reason's code when there is none."""
    from ingest.pipeline import render_files

    file = Path(path).expanduser().absolute()
    raise NotImplementedError(file, render_files)


def _stored(image: StoredImage, vector: Vector) -> Picture:
    return Picture(
        path=image.path,
        sop_instance_uid=image.sop_instance_uid,
        frame=image.frame,
        rendering=image.rendering,
        warnings=image.warnings,
        patient_key=image.patient_key,
        image_id=image.image_id,
        vector=vector,
    )


def _known(archive: Archive, rendered: Rendered) -> Picture:
    raise NotImplementedError(archive, rendered)
