"""Answers of a search: hits with their percentiles, the next page, and why they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.questions import (
    Background,
    Duplicate,
    FilterStep,
    Hit,
    MatchedImages,
    SearchAnswer,
    WhyFound,
)
from medsiglip.api.archive.scores.scoped_answers import query_scope
from medsiglip.api.archive.similar.comparable_hits import asks_with, comparable_hits
from medsiglip.api.archive.upkeep.outdated import outdated_warnings
from medsiglip.text_length import truncation_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.similar.query_vectors import Query
    from medsiglip.api.archive.similar.question import Question
    from medsiglip.index.records import Level
    from medsiglip.index.search_records import Explanation, Found, FoundHit
    from medsiglip.scope.hit_scores import HitScores


def answer_of(archive: OpenedArchive, question: Question, query: Query, found: Found) -> SearchAnswer:
    """The answer to a question."""
    options = question.options
    scores = archive.index.background(query.asked(question), options)
    background = scores if len(scores) else None
    more: dict[str, Any] = {"why_found": _why(found.explanation)} if question.explain else {}
    hits = [one.hit for one in found.hits]
    comparable = comparable_hits(archive, question)
    in_scope, out_of_scope = _scope(archive, question, query)
    return SearchAnswer(
        space=archive.searchable_space.name,
        level=options.level,
        query=query.description,
        hits=tuple(_hit(one, question, query, comparable) for one in found.hits),
        background=None if background is None else _summary(background, options.level, comparable),
        cursor=found.cursor,
        how=found.how,
        **more,
        in_scope=in_scope,
        warnings=(
            *out_of_scope,
            *_text_warnings(archive, question),
            *found.warnings,
            *archive.index.filters.warnings(options.where),
            *outdated_warnings(hits),
        ),
    )


def _scope(archive: OpenedArchive, question: Question, query: Query) -> tuple[bool | None, tuple[str, ...]]:
    """Whether a question of one text or picture is in scope; of a stored picture or study nobody asks."""
    asked_with = asks_with(question)
    if asked_with == "text":
        return query_scope(archive, text=question.text, vectors=query.vector[None])
    if asked_with == "image" and question.images:
        vectors = query.vector[None] if query.images is None else query.images
        return query_scope(archive, vectors=vectors, patient_key=next(iter(query.patient_keys), None))
    return None, ()


def _text_warnings(archive: OpenedArchive, question: Question) -> tuple[str, ...]:
    if question.text is None:
        return ()
    return truncation_warnings(archive.encoder.tokenizer, [question.text], ["the query"], "texts")


def _hit(one: FoundHit, question: Question, query: Query, comparable: HitScores | None) -> Hit:
    """A hit with what the question asks about it."""
    more: dict[str, Any] = {
        "percentile": None if comparable is None else comparable.percentile(one.hit.score)
    }
    if question.options.compare == "sets":
        more["pairs"] = tuple(
            MatchedImages(
                query=pair.query,
                query_image_id=query.image_ids[pair.query],
                image_id=pair.image_id,
                cosine=pair.cosine,
            )
            for pair in one.pairs
        )
    if question.options.dedupe is not None:
        more["collapsed"] = one.collapsed
        more["duplicates"] = tuple(Duplicate.model_validate(duplicate) for duplicate in one.duplicates)
    if one.found_by is not None:
        more["found_by"] = one.found_by
    return Hit.model_validate(one.hit).model_copy(update=more)


def _summary(background: NDArray[np.float32], level: Level, comparable: HitScores | None) -> Background:
    return Background(
        level=level,
        count=len(background),
        mean=float(background.mean()),
        standard_deviation=float(background.std()),
        comparable_questions=None if comparable is None else comparable.questions,
    )


def _why(found: Explanation) -> WhyFound:
    return WhyFound(
        kind=found.spec,
        device=found.device,
        level=found.level,
        compare=found.compare,
        images=found.images,
        passing=found.passing,
        filters=tuple(FilterStep.model_validate(step) for step in found.filters),
        how=found.how,
        looked_at=found.looked_at,
        candidates=found.candidates,
        together=found.together,
        milliseconds=found.milliseconds,
    )
