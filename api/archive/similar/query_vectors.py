"""The vectors that stand for a question: of its text, pictures, studies and examples, and their sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.api.archive.queries import (
    Picture,
    Vector,
    pictures_of_file,
)
from medsiglip.api.archive.similar.crops import cropped_part
from medsiglip.api.archive.similar.parts import Part, StoredParts, middle_of
from medsiglip.api.archive.similar.question import Question
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import Level
    from medsiglip.index.search_records import Asked

# Of query, positives and negatives: Manning, Raghavan and Schütze, Introduction to Information Retrieval,
# 2008, section 9.1.1.
ROCCHIO = {"query": 1.0, "positive": 0.75, "negative": 0.15}


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A unit-length `vector` [d] and how the answer describes it. `images` [m, d] are the vectors of all its
    images, with the id of each that is stored. `patient_keys` are whose images it was made of.
    """

    vector: Vector
    description: dict[str, Any]
    images: Vector | None = None
    image_ids: tuple[int | None, ...] = ()
    patient_keys: tuple[str, ...] = ()
    own: Part | None = None
    digest: bytes = b""

    def asked(self, question: Question) -> Asked:
        """The question as the index takes it."""
        from medsiglip.index.search_records import Asked

        own = self.own if question.include_same_patient else None
        return Asked(
            self.vector,
            images=self.images if question.options.compare == "sets" else None,
            exclude_patients=() if question.include_same_patient else self.patient_keys,
            own_image=None if own is None else own.own_image,
            own_study=None if own is None else own.own_study,
            words=question.words,
            cursor=question.cursor,
            question=self.digest,
        )


@dataclass(slots=True)
class _Sum:
    """The parts of a question by kind."""

    parts: dict[str, list[Part]] = field(default_factory=dict)

    def add(self, kind: str, part: Part) -> None:
        self.parts.setdefault(kind, []).append(part)

    @property
    def all(self) -> list[Part]:
        return [part for several in self.parts.values() for part in several]


def encoded_texts(archive: OpenedArchive, questions: Sequence[Question]) -> dict[str, Vector]:
    """The vector of each text, all encoded at once."""
    texts = list(dict.fromkeys(one.text for one in questions if one.text is not None))
    return dict(zip(texts, archive.encoder.encode_texts(texts), strict=True)) if texts else {}


def stored_parts(archive: OpenedArchive, questions: Iterable[Question]) -> StoredParts:
    """The stored images of questions, all looked up at once."""
    stored = StoredParts(archive)
    stored.find_images(
        named
        for one in questions
        for named in (*one.image_ids, *one.positive, *one.negative)
        if isinstance(named, int)
    )
    return stored


def query_of(
    archive: OpenedArchive, question: Question, texts: Mapping[str, Vector], stored: StoredParts
) -> Query:
    """The query of a question, of whose text the vector is among `texts`."""
    whole = _parts(archive, question, texts, stored)
    positive = [_example(stored, one) for one in question.positive]
    negative = [_example(stored, one) for one in question.negative]
    description = _description(whole, question)
    vector = _weighted(whole, question, description)
    if positive or negative or vector is None:
        vector = _moved(vector, positive, negative, question, description)
    parts = whole.all
    images = [part.images for part in parts if part.images is not None]
    owners = dict.fromkeys(part.patient_key for part in (*parts, *positive) if part.patient_key is not None)
    return Query(
        vector,
        description,
        np.concatenate(images) if images else None,
        tuple(image_id for part in parts for image_id in part.image_ids),
        tuple(owners),
        parts[0] if len(parts) == 1 and not (positive or negative) else None,
        _digest(question, whole.all, positive, negative),
    )


def _parts(
    archive: OpenedArchive, question: Question, texts: Mapping[str, Vector], stored: StoredParts
) -> _Sum:
    level = question.options.level
    found = _Sum()
    if question.text is not None:
        found.add("text", Part(texts[question.text], {"text": question.text}, question.text))
    if question.crop is not None:
        found.add("image", cropped_part(archive, question))
        return found
    for path in question.images:
        found.add("image", _file_part(pictures_of_file(archive, path), level))
    for image_id in question.image_ids:
        found.add("image", stored.image(image_id))
    for study in question.studies:
        found.add("study", stored.study(study))
    if question.vector is not None:
        vector = question.vector / np.float32(np.linalg.norm(question.vector))
        found.add("vector", Part(vector, {"vector": len(vector)}, vector.tobytes().hex()))
    return found


def _file_part(pictures: list[Picture], level: Level) -> Part:
    """At image level the middle image stands for a file with several, else their mean."""
    middle = middle_of(pictures)
    vectors = np.stack([picture.vector for picture in pictures])
    is_one = level == "image"
    return Part(
        middle.vector if is_one else mean_vector(vectors),
        {**middle.named.to_json(), "images": len(pictures)},
        " ".join(f"{picture.pixel_hash}/{picture.frame}" for picture in pictures),
        middle.patient_key,
        own_image=middle.image_id if is_one else None,
        images=vectors,
        image_ids=tuple(picture.image_id for picture in pictures),
    )


def _example(stored: StoredParts, named: int | str) -> Part:
    return stored.image(named) if isinstance(named, int) else stored.study(named)


def _description(whole: _Sum, question: Question) -> dict[str, Any]:
    """One part as it is; several by kind."""
    described: dict[str, Any] = {}
    for kind, parts in whole.parts.items():
        if len(parts) == 1:
            described |= parts[0].description
        else:
            described[{"image": "files", "study": "studies"}[kind]] = [part.description for part in parts]
    if question.crop is not None:
        described["crop"] = list(question.crop)
    if question.words is not None:
        described["words"] = question.words
    return described


def _weighted(whole: _Sum, question: Question, description: dict[str, Any]) -> Vector | None:
    """The unit-length sum of the mean directions of each kind, by weight; None without any part."""
    kinds = {
        kind: parts[0].vector if len(parts) == 1 else mean_vector([part.vector for part in parts])
        for kind, parts in whole.parts.items()
    }
    if len(kinds) < 2:
        return next(iter(kinds.values()), None)
    weights = {kind: question.weights[kind] for kind in kinds}
    description["weights"] = dict(weights)
    return _unit({kind: (weights[kind], kinds[kind]) for kind in kinds})


def _moved(
    query: Vector | None,
    positive: Sequence[Part],
    negative: Sequence[Part],
    question: Question,
    description: dict[str, Any],
) -> Vector:
    """The query towards the positives and away from the negatives (Rocchio)."""
    sums = {
        "query": None if query is None else query.astype(np.float64),
        "positive": _mean(positive),
        "negative": _mean(negative),
    }
    present = {name: value for name, value in sums.items() if value is not None}
    weights = {name: question.weights.get(name, ROCCHIO[name]) for name in present}
    for name, parts in (("positive", positive), ("negative", negative)):
        if parts:
            description[name] = [part.description for part in parts]
    description["weights"] = {**description.get("weights", {}), **weights}
    signs = {"negative": -1.0}
    return _unit({name: (signs.get(name, 1.0) * weights[name], present[name]) for name in present})


def _mean(parts: Sequence[Part]) -> Any:
    return np.mean([part.vector.astype(np.float64) for part in parts], axis=0) if parts else None


def _unit(parts: Mapping[str, tuple[float, Any]]) -> Vector:
    """The direction of the weighted sum of vectors, of which only the ratio of the weights counts."""
    largest = max(abs(weight) for weight, _ in parts.values())
    scaled = (weight / largest * vector.astype(np.float64) for weight, vector in parts.values())
    total = sum(scaled, np.float64(0))
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise ServiceError(
            "bad-query", "the parts of the question cancel each other out: change their weights."
        )
    return np.asarray(total / length, np.float32)


def _digest(
    question: Question, parts: Sequence[Part], positive: Sequence[Part], negative: Sequence[Part]
) -> bytes:
    """What tells questions apart, whatever the bits of their vectors."""
    named = [[part.identity for part in several] for several in (parts, positive, negative)]
    return blake2b(repr((named, sorted(question.weights.items()), question.crop)).encode()).digest()
