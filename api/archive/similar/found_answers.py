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
from medsiglip.api.archive.upkeep.outdated import outdated_warnings
from medsiglip.text_length import truncation_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.similar.query_vectors import Query
    from medsiglip.api.archive.similar.question import Question
    from medsiglip.index.records import Level
    from medsiglip.index.search_records import Explanation, Found, FoundHit

_SAME_SCORE = 1e-5


def answer_of(archive: OpenedArchive, question: Question, query: Query, found: Found) -> SearchAnswer:
    """The answer to a question."""
    options = question.options
    scores = archive.index.background(query.asked(question), options)
    background = scores if len(scores) else None
    more: dict[str, Any] = {"why_found": _why(found.explanation)} if question.explain else {}
    hits = [one.hit for one in found.hits]
    return SearchAnswer(
        space=archive.searchable_space.name,
        level=options.level,
        query=query.description,
        hits=tuple(_hit(one, question, query, background) for one in found.hits),
        background=None if background is None else _summary(background, options.level),
        cursor=found.cursor,
        how=found.how,
        **more,
        warnings=(*_text_warnings(archive, question), *found.warnings, *outdated_warnings(hits)),
    )


def _text_warnings(archive: OpenedArchive, question: Question) -> tuple[str, ...]:
    if question.text is None:
        return ()
    return truncation_warnings(archive.encoder.tokenizer, [question.text], ["the query"], "texts")


def _hit(one: FoundHit, question: Question, query: Query, background: NDArray[np.float32] | None) -> Hit:
    """A hit with what the question asks about it."""
    more: dict[str, Any] = {"percentile": _percentile(one.hit.score, background)}
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


def _percentile(score: float, background: NDArray[np.float32] | None) -> float | None:
    return None if background is None else float(np.mean(background <= score + _SAME_SCORE))


def _summary(background: NDArray[np.float32], level: Level) -> Background:
    return Background(
        level=level,
        count=len(background),
        mean=float(background.mean()),
        standard_deviation=float(background.std()),
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
