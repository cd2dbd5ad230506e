"""What a question is about: its level, and the images of a picture file or of a stored study with their
vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.answer import AskedImage
from medsiglip.api.archive.files import require_pictures
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.files import AnyPath
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import Level, StoredImage
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.units.plan import PlanOptions
    from medsiglip.ingest.workers.render_files import Rendered
    from medsiglip.ingest.workers.rendering_pool import RenderingPool

Vector = NDArray[np.float32]
LEVELS: tuple[Level, ...] = ("image", "series", "study")


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with its unit-length `vector` [d]; `image_id` is None for an image that is not in the
    archive.
    """

    path: str | None
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    rendering: str
    warnings: tuple[str, ...]
    patient_key: str | None
    pixel_hash: str
    image_id: int | None
    vector: Vector

    @property
    def named(self) -> AskedImage:
        """What names the image, without its vector."""
        return AskedImage.model_validate(self)


def level_named(level: str) -> Level:
    """Check a level given as text. Raises ServiceError `bad-level`."""
    for known in LEVELS:
        if known == level:
            return known
    raise ServiceError("bad-level", f"there is no level {level!r}: choose image, series or study.")


def require_words(text: str) -> None:
    """Raise ServiceError `empty-text` for a text that the model would read as nothing."""
    from medsiglip.tokenizer import canonicalise

    if not canonicalise(text):
        raise ServiceError("empty-text", "the text holds no word: give at least one.")


def stored_study_uid(archive: OpenedArchive, uid: str) -> str:
    """The UID that the archive has for a study: a home that hides UIDs stores others than the files have."""
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    if key is None or key.phi != "strict" or uid in archive.index.patients_of([uid]):
        return uid
    return key.uid(uid)


def studies_to_forget(archive: OpenedArchive, *, patient: str | None, study: str | None) -> list[str]:
    """The UIDs, as the archive has them, of the studies that `studies.forget` would remove."""
    if study is not None:
        uid = stored_study_uid(archive, study)
        return [uid] if archive.index.patients_of([uid]) else []
    if patient is None or not patient.isalnum():  # not a key of the archive, and perhaps not a valid filter
        return []
    return [one.study_instance_uid for one in archive.index.studies([f"patient_key={patient}"])]


def pictures_of_study(archive: OpenedArchive, uid: str) -> list[Picture]:
    """The images of a study with their stored vectors. Raises CatalogError `unknown-study`."""
    images = archive.index.images_of(stored_study_uid(archive, uid))
    if not images:
        raise ServiceError("empty-study", f"study {uid} holds no image: ingest its files again.")
    vectors = archive.index.vectors([image.image_id for image in images])
    return [_stored(image, vector) for image, vector in zip(images, vectors, strict=True)]


def pictures_of_file(archive: OpenedArchive, path: AnyPath) -> list[Picture]:
    """The images of a picture file: stored vectors where the archive has them, else encoded now.

    Raises ServiceError with the code of the reason when the file holds no usable picture.
    """
    rendered = rendered_file(path, archive)
    pictures = known_pictures(archive, rendered)
    missing = [i for i, picture in enumerate(pictures) if picture.image_id is None]
    if missing:
        from medsiglip.preprocess import to_model_input

        space, encoder = archive.space, archive.encoder
        inputs = [to_model_input(rendered[i].pixels, encoder.image_size, space.profile) for i in missing]
        for i, vector in zip(missing, encoder.encode_images(inputs), strict=True):
            pictures[i] = replace(pictures[i], vector=vector)
    return pictures


def rendered_file(path: AnyPath, archive: OpenedArchive | None = None) -> list[Rendered]:
    """The images that an ingest renders of one file, with the UIDs that an archive gives them. Raises
    ServiceError with the reason's code if there is none.
    """
    from medsiglip.ingest.privacy.deidentify import known_key
    from medsiglip.ingest.workers.stored_hashes import as_stored, hash_options

    require_pictures([path])
    key = known_key(archive.index) if archive and archive.is_there else None
    rendered = render_file(
        Path(path).expanduser().absolute(),
        archive.rendering_pool if archive else None,
        key,
        hash_options(archive.index) if archive and key else None,
    )
    return as_stored(archive.index, rendered) if archive and key else rendered


def render_file(
    file: Path,
    rendering_pool: RenderingPool | None,
    key: SecretKey | None = None,
    options: PlanOptions | None = None,
) -> list[Rendered]:
    """As `rendered_file`, for a file that is there; without the key of a home, UIDs are as the file has
    them.
    """
    from medsiglip.ingest.reasons import Rejected
    from medsiglip.ingest.workers.render_files import render_files

    rendered = list(render_files([file], options, key, rendering_pool))
    for one in rendered:
        if isinstance(one, Rejected):
            raise ServiceError(one.code, f"{one.path}: {one.reason[0].lower()}{one.reason[1:]}")
    return [one for one in rendered if not isinstance(one, Rejected)]


def _stored(image: StoredImage, vector: Vector) -> Picture:
    return Picture(
        path=image.path,
        series_instance_uid=image.series_instance_uid,
        sop_instance_uid=image.sop_instance_uid,
        frame=image.frame,
        rendering=image.rendering,
        warnings=image.warnings,
        patient_key=image.patient_key,
        pixel_hash=image.pixel_hash,
        image_id=image.image_id,
        vector=vector,
    )


def known_pictures(archive: OpenedArchive, rendered: Sequence[Rendered]) -> list[Picture]:
    """What the archive has of one file's images; those it has not have an empty vector."""
    if not archive.is_there:
        return [_unknown(one, None) for one in rendered]
    index = archive.index
    instance = rendered[0]
    same_space = index.space is not None and index.space == archive.searchable_space
    stored = index.find_image(instance.sop_instance_uid, instance.pixel_hash) if same_space else []
    vectors = index.vectors([image.image_id for image in stored]) if stored else ()
    by_frame = {image.frame: _stored(image, vector) for image, vector in zip(stored, vectors, strict=True)}
    patient_key = stored[0].patient_key if stored else _patient_key(archive, instance.path)
    return [by_frame.get(one.frame) or _unknown(one, patient_key) for one in rendered]


def _unknown(rendered: Rendered, patient_key: str | None) -> Picture:
    return Picture(
        path=rendered.path,
        series_instance_uid=rendered.series_instance_uid,
        sop_instance_uid=rendered.sop_instance_uid,
        frame=rendered.frame,
        rendering=rendered.rendering,
        warnings=rendered.warnings,
        patient_key=patient_key,
        pixel_hash=rendered.pixel_hash,
        image_id=None,
        vector=np.empty(0, np.float32),
    )


def _patient_key(archive: OpenedArchive, path: str) -> str | None:
    """The key that this home's secret gives the patient of a file; None in a home that has no patients."""
    from medsiglip.ingest.files.walk import FoundFile, walk
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    if key is None:
        return None
    found = next(iter(walk([path])))
    header = archive.rendering_pool.scan(found, key) if isinstance(found, FoundFile) else None
    return header.patient_key if isinstance(header, Header) else None
