"""Similar-case retrieval: by text, by a picture file, by a study or by a stored image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.questions import Background, Hit, SearchAnswer
from medsiglip.api.archive.files import AnyPath, require_pictures
from medsiglip.api.archive.outdated import outdated_warnings
from medsiglip.api.archive.queries import (
    Picture,
    Vector,
    level_named,
    pictures_of_file,
    pictures_of_study,
    require_words,
    stored_study_uid,
)
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import mean_vector
from medsiglip.text_length import truncation_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index import records
    from medsiglip.index.records import Level

_SAME_SCORE = 1e-5
_TWINS = 64
_BACKGROUND = 4096


@dataclass(frozen=True, slots=True)
class _Question:
    """Exactly one of `text`, `image`, `study` and `image_id` is given."""

    text: str | None = None
    image: AnyPath | None = None
    study: str | None = None
    image_id: int | None = None
    k: int = 10
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


def search(
    archive: OpenedArchive,
    *,
    text: str | None = None,
    image: AnyPath | None = None,
    study: str | None = None,
    image_id: int | None = None,
    k: int = 10,
    level: str | None = None,
    where: Sequence[str] = (),
    include_same_patient: bool = False,
) -> SearchAnswer:
    """The `k` nearest images, series or studies to a text, a picture file, a study or a stored image, best
    first, and where the scores stand among all that might have been found at the level without filters.

    At image level a file with several images is represented by its middle one, at series and study level by
    their mean. `level` is `study` for a study, else `image`, unless it is given.
    """
    chosen = level_named(level or ("study" if study is not None else "image"))
    question = _Question(text, image, study, image_id, k, tuple(where), include_same_patient)
    _check(question)
    space = archive.searchable_space
    archive.index.filters.check(question.where)
    query = _query(archive, question, chosen)
    found = _hits(archive, question, query, chosen)
    hits = [Hit.model_validate(hit).model_copy(update={"rank": n}) for n, hit in enumerate(found, start=1)]
    background = _background(archive, question, query, chosen)
    return SearchAnswer(
        space=space.name,
        level=chosen,
        query=query.description,
        hits=tuple(hit.model_copy(update={"percentile": _percentile(hit, background)}) for hit in hits),
        background=None if background is None else _summary(background, chosen),
        warnings=(*_warnings(archive, question), *outdated_warnings(found)),
    )


def _warnings(archive: OpenedArchive, question: _Question) -> tuple[str, ...]:
    if question.text is None:
        return ()
    return truncation_warnings(archive.encoder.tokenizer, [question.text], ["the query"], "texts")


def _check(question: _Question) -> None:
    """Refuse a bad question before anything is loaded."""
    given = [question.text, question.image, question.study, question.image_id]
    if sum(value is not None for value in given) != 1:
        raise ServiceError("one-of", "ask with exactly one of a text, an image, a study and a stored image.")
    if question.text is not None:
        require_words(question.text)
    if question.image is not None:
        require_pictures([question.image])


def _query(archive: OpenedArchive, question: _Question, level: Level) -> _Query:
    if question.text is not None:
        return _Query(archive.encoder.encode_texts([question.text])[0], {"text": question.text})
    if question.study is not None:
        study = stored_study_uid(archive, question.study)
        pictures = pictures_of_study(archive, study)
        return _Query(
            mean_vector([picture.vector for picture in pictures]),
            {"study_instance_uid": study, "images": len(pictures)},
            pictures[0].patient_key,
            study_instance_uid=study,
        )
    if question.image_id is not None:
        stored = archive.index.get(question.image_id)
        vector = archive.index.vectors([stored.image_id])[0]
        description = {"image_id": stored.image_id, "study_instance_uid": stored.study_instance_uid}
        return _Query(vector, description, stored.patient_key, stored.image_id, stored.study_instance_uid)
    assert question.image is not None
    return _file_query(pictures_of_file(archive, question.image), level)


def _file_query(pictures: list[Picture], level: Level) -> _Query:
    known = [picture for picture in pictures if picture.image_id is not None] or pictures
    middle = known[len(known) // 2]
    description = {**middle.named.to_json(), "images": len(pictures)}
    if level == "image":
        return _Query(middle.vector, description, middle.patient_key, middle.image_id)
    return _Query(mean_vector([picture.vector for picture in pictures]), description, middle.patient_key)


def _hits(archive: OpenedArchive, question: _Question, query: _Query, level: Level) -> list[records.Hit]:
    """The hits; the query's own image or study goes before others of the same score, such as copies of it."""
    own_may_show = question.include_same_patient and query.patient_key is not None
    exclude = None if question.include_same_patient else query.patient_key
    [found] = archive.index.search(
        query.vector[None],
        k=question.k + (_TWINS if own_may_show else 0),
        level=level,
        where=question.where,
        exclude_patients=[exclude],
    )
    if own_may_show and found:
        best = found[0].score
        found.sort(key=lambda hit: not (hit.score >= best - _SAME_SCORE and _is_own(hit, query, level)))
    return found[: question.k]


def _is_own(hit: records.Hit, query: _Query, level: Level) -> bool:
    if level == "image":
        return hit.image_id == query.image_id
    return level == "study" and hit.study_instance_uid == query.study_instance_uid


def _background(
    archive: OpenedArchive, question: _Question, query: _Query, level: Level
) -> NDArray[np.float32] | None:
    """Scores of images, series or studies spread over the whole archive, the query's own patient left out as
    among the hits: what a score must be compared with.
    """
    exclude = None if question.include_same_patient else query.patient_key
    sample = archive.index.sample_vectors(_BACKGROUND, level=level, exclude_patient=exclude)
    scores: NDArray[np.float32] = sample @ query.vector
    return scores if len(scores) else None


def _percentile(hit: Hit, background: NDArray[np.float32] | None) -> float | None:
    return None if background is None else float(np.mean(background <= hit.score + _SAME_SCORE))


def _summary(background: NDArray[np.float32], level: Level) -> Background:
    return Background(
        level=level,
        count=len(background),
        mean=float(background.mean()),
        standard_deviation=float(background.std()),
    )
