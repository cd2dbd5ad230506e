"""Hits of comparable questions: what the score of a hit is compared with.

A question by one text is compared with questions as people write them, of which the archive holds something;
one by a picture or a study with those by the archive's own, each without its own patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.api.archive.backgrounds import Kind
from medsiglip.numerics import mean_vector
from medsiglip.scope.image_scope import MOST_IMAGES

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.similar.question import Question
    from medsiglip.index.search.ranking.image_sample import ImageSample
    from medsiglip.index.search_records import Asked, SearchOptions
    from medsiglip.scope.hit_scores import HitScores

# Studies are read from the catalogue, and compared set to set, one by one.
_MOST_STUDIES = 48
_EVERY_OUTLIER = 4


def asks_with(question: Question) -> str | None:
    """`text`, `image` or `study` for a question of one such part, None for any other."""
    if question.vector is not None or question.positive or question.negative:
        return None
    parts = {
        "text": (question.text,) if question.text is not None else (),
        "image": (*question.images, *question.image_ids),
        "study": question.studies,
    }
    given = [name for name, values in parts.items() if values]
    return given[0] if len(given) == 1 and len(parts[given[0]]) == 1 else None


def comparable_hits(archive: OpenedArchive, question: Question) -> HitScores | None:
    """Scores of the best hits of questions that are asked with the same, at the same level and compared in
    the same way, without filters; None for a question of several parts, and where nothing is found.
    """
    from medsiglip.index.search_records import SearchOptions
    from medsiglip.scope.hit_scores import BEST_HITS, MOST_QUESTIONS, HitScores
    from medsiglip.scope.reference_texts import reference_texts

    asked_with = asks_with(question)
    if asked_with is None:
        return None
    options = SearchOptions(k=BEST_HITS, level=question.options.level, compare=question.options.compare)
    sample = archive.index.image_sample(MOST_IMAGES)
    if not len(sample.image_ids):
        return None

    def measure() -> HitScores | None:
        if asked_with == "text":
            texts = reference_texts()
            strange = _hits(archive, _texts(archive, texts.outliers[::_EVERY_OUTLIER]), options)
            usual = _hits(archive, _texts(archive, texts.queries[:MOST_QUESTIONS]), options)
            return HitScores.of(usual, [scores[0] for scores in strange if scores])
        return HitScores.of(_hits(archive, _stored(archive, sample, asked_with, options), options))

    kind = Kind(f"hits {asked_with} {options.level} {options.compare}", measure, HitScores.from_json)
    found = archive.backgrounds.of(archive.index, archive.searchable_space.name, kind, sample.images)
    return found if isinstance(found, HitScores) else None


def _hits(archive: OpenedArchive, asked: Sequence[Asked], options: SearchOptions) -> list[list[float]]:
    """The scores of the hits of each question, best first."""
    found = archive.index.find(asked, options) if asked else []
    return [[one.hit.score for one in answer.hits] for answer in found]


def _texts(archive: OpenedArchive, texts: Sequence[str]) -> list[Asked]:
    from medsiglip.index.search_records import Asked

    return [Asked(vector) for vector in archive.patient_encoder.encode_texts(texts)]


def _stored(
    archive: OpenedArchive, sample: ImageSample, asked_with: str, options: SearchOptions
) -> list[Asked]:
    """Questions by one image of each of at most 200 patients, or by its study."""
    from medsiglip.index.search_records import Asked
    from medsiglip.scope.hit_scores import MOST_QUESTIONS

    owners = archive.index.instances.owners_of_images(sample.image_ids.tolist())
    by_patient: dict[str, list[int]] = {}
    for place, image_id in enumerate(sample.image_ids.tolist()):
        if image_id in owners:
            by_patient.setdefault(owners[image_id][1], []).append(place)
    most = _MOST_STUDIES if asked_with == "study" or options.compare == "sets" else MOST_QUESTIONS
    step = -(-len(by_patient) // most) or 1
    asked = []
    for patient_key, places in list(by_patient.items())[::step]:
        place = places[len(places) // 2]
        vectors = sample.vectors[place][None]
        if asked_with == "study":
            images = archive.index.images_of(owners[int(sample.image_ids[place])][0])
            vectors = archive.index.vectors([image.image_id for image in images])
        sets = vectors if options.compare == "sets" else None
        asked.append(Asked(mean_vector(vectors), images=sets, exclude_patients=(patient_key,)))
    return asked
