"""Similar-case retrieval: by text, by a picture file, by a study or by a stored image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.files import require_pictures
from medsiglip.api.archive.levels import level_named
from medsiglip.api.archive.payload import plain
from medsiglip.api.archive.queries import (
    Picture,
    Vector,
    mean_vector,
    pictures_of_file,
    pictures_of_study,
    require_words,
    stored_study_uid,
)
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Answer, AnyPath, Archive
    from medsiglip.index.records import Hit, Level

_SAME_SCORE = 1e-5
_TWINS = 64
_BACKGROUND = 4096


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One question; exactly one of `text`, `image`, `study` and `image_id` is given."""

    text: str | None = None
    image: AnyPath | None = None
    study: str | None = None
    image_id: int | None = None
    k: int = 10
    level: str | None = None
    where: tuple[str, ...] = ()
    include_same_patient: bool = False


@dataclass(frozen=True, slots=True)
class _Query:
    """A unit-length vector [d], what to call it, whose it is, and the stored image it came from."""

    vector: Vector
    description: dict[str, Any]
    patient_key: str | None = None
    image_id: int | None = None
    study_instance_uid: str | None = None


def search(archive: Archive, request: SearchRequest) -> Answer:
    """Answer in the JSON shape of `search`, best first, and where the scores stand among all that might have
    been found at the level without filters.

    At image level a file with several images is asked about by its middle one, at series and study level by
    their mean.
    """
    level = level_named(request.level or ("study" if request.study is not None else "image"))
    _check(request)
    space = archive.searchable_space
    archive.index.check_filters(request.where)
    query = _query(archive, request, level)
    hits = _hits(archive, request, query, level)
    background = _background(archive, request, query, level)
    shown = [plain(hit) for hit in hits]
    for hit in shown:
        below = None if background is None else background <= hit["score"] + _SAME_SCORE
        hit["percentile"] = None if below is None else float(np.mean(below))
    return {
        "space": space.name,
        "level": level,
        "query": query.description,
        "hits": shown,
        "background": None if background is None else _summary(background, level),
    }


def _check(request: SearchRequest) -> None:
    """Refuse what cannot be asked before anything is loaded."""
    asked = [request.text, request.image, request.study, request.image_id]
    if sum(value is not None for value in asked) != 1:
        raise ServiceError("one-of", "ask with exactly one of a text, an image, a study and a stored image.")
    if request.text is not None:
        require_words(request.text)
    if request.image is not None:
        require_pictures([request.image])


def _query(archive: Archive, request: SearchRequest, level: Level) -> _Query:
    if request.text is not None:
        return _Query(archive.encoder.encode_texts([request.text])[0], {"text": request.text})
    if request.study is not None:
        study = stored_study_uid(archive, request.study)
        pictures = pictures_of_study(archive, study)
        return _Query(
            mean_vector([picture.vector for picture in pictures]),
            {"study_instance_uid": study, "images": len(pictures)},
            pictures[0].patient_key,
            study_instance_uid=study,
        )
    if request.image_id is not None:
        stored = archive.index.get(request.image_id)
        vector = archive.index.vectors([stored.image_id])[0]
        description = {"image_id": stored.image_id, "study_instance_uid": stored.study_instance_uid}
        return _Query(vector, description, stored.patient_key, stored.image_id, stored.study_instance_uid)
    assert request.image is not None
    return _file_query(pictures_of_file(archive, request.image), level)


def _file_query(pictures: list[Picture], level: Level) -> _Query:
    known = [picture for picture in pictures if picture.image_id is not None] or pictures
    middle = known[len(known) // 2]
    description = {**middle.to_json(), "images": len(pictures)}
    if level == "image":
        return _Query(middle.vector, description, middle.patient_key, middle.image_id)
    return _Query(mean_vector([picture.vector for picture in pictures]), description, middle.patient_key)


def _hits(archive: Archive, request: SearchRequest, query: _Query, level: Level) -> list[Hit]:
    """The hits; the query's own image or study goes before others of the same score, such as copies of it."""
    own_may_show = request.include_same_patient and query.patient_key is not None
    exclude = None if request.include_same_patient else query.patient_key
    [found] = archive.index.search(
        query.vector[None],
        k=request.k + (_TWINS if own_may_show else 0),
        level=level,
        where=request.where,
        exclude_patients=[exclude],
    )
    if own_may_show and found:
        best = found[0].score
        found.sort(key=lambda hit: not (hit.score >= best - _SAME_SCORE and _is_own(hit, query, level)))
    return [_ranked(hit, rank) for rank, hit in enumerate(found[: request.k], start=1)]


def _is_own(hit: Hit, query: _Query, level: Level) -> bool:
    if level == "image":
        return hit.image_id == query.image_id
    return level == "study" and hit.study_instance_uid == query.study_instance_uid


def _ranked(hit: Hit, rank: int) -> Hit:
    from dataclasses import replace

    return hit if hit.rank == rank else replace(hit, rank=rank)


def _background(
    archive: Archive, request: SearchRequest, query: _Query, level: Level
) -> NDArray[np.float32] | None:
    """Scores of images, series or studies spread over the whole archive, the query's own patient left out as
    among the hits: what a score must be compared with.
    """
    exclude = None if request.include_same_patient else query.patient_key
    sample = archive.index.sample_vectors(_BACKGROUND, level=level, exclude_patient=exclude)
    scores: NDArray[np.float32] = sample @ query.vector
    return scores if len(scores) else None


def _summary(background: NDArray[np.float32], level: Level) -> dict[str, Any]:
    return {
        "level": level,
        "count": len(background),
        "mean": float(background.mean()),
        "standard_deviation": float(background.std()),
    }
