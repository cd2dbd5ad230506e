"""Similar-case retrieval: by texts, pictures, studies, vectors and examples, one question or many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.questions import SearchAnswer, SearchBatch, SearchOutcome
from medsiglip.answers.search_fields import MOST_HITS, MOST_QUERIES, SearchFields
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.archive.opened import OpenedArchive, in_one_space
from medsiglip.api.archive.similar.found_answers import answer_of
from medsiglip.api.archive.similar.query_vectors import Query, encoded_texts, query_of, stored_parts
from medsiglip.api.archive.similar.question import Question, question_of
from medsiglip.api.errors import ServiceError, explain
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.index.search_records import Found, SearchOptions

# Errors of one question among several; others are of the archive, and of all questions alike.
_OF_A_QUESTION = frozenset(
    {"bad-query", "bad-filter", "bad-cursor", "unknown-study", "unknown-image", "bad-level"}
)


@in_one_space
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
    **more: Unpack[SearchFields],
) -> SearchAnswer:
    """The `k` nearest images, series or studies to a text, a picture file, a study or a stored image, best
    first, and where the scores stand among all that might have been found at the level without filters.
    `medsiglip.answers.search_fields` lists what `more` may be asked.

    At image level a file with several images is represented by its middle one, at series and study level by
    their mean. `level` is `study` for a study, else `image`, unless it is given. Studies are compared with a
    study set to set.
    """
    question = question_of(
        {
            "text": text,
            "image": image,
            "study": study,
            "image_id": image_id,
            "k": k,
            "level": level,
            "where": where,
            "include_same_patient": include_same_patient,
            **more,
        }
    )
    _require_space(archive, [question])
    stored = stored_parts(archive, [question])
    query = query_of(archive, question, encoded_texts(archive, [question]), stored)
    [found] = archive.index.find([query.asked(question)], question.options)
    return answer_of(archive, question, query, found)


@in_one_space
def search_many(archive: OpenedArchive, questions: Sequence[Mapping[str, Any]]) -> SearchBatch:
    """The answers to at most 64 questions, each with the arguments of `search`, in their order; one that
    cannot be answered has an `error`. Texts are encoded at once, and questions that are asked in the same way
    are searched at once. Raises ServiceError `too-many-queries`, also for more than 10,000 hits in all.
    """
    if len(questions) > MOST_QUERIES:
        raise ServiceError(
            "too-many-queries",
            f"{len(questions)} questions were asked: ask at most {MOST_QUERIES} at once.",
        )
    if sum(int(fields.get("k", 10)) for fields in questions) > MOST_HITS:
        raise ServiceError(
            "too-many-queries", f"the questions ask for more than {MOST_HITS} hits in all: ask for fewer."
        )
    outcomes: dict[int, SearchOutcome] = {}
    asked: dict[int, Question] = {}
    for number, fields in enumerate(questions):
        try:
            asked[number] = question_of(fields)
            _require_space(archive, [asked[number]])
        except (ServiceError, CatalogError) as error:
            outcomes[number] = _refused(error)
            asked.pop(number, None)
    queries = _queries(archive, asked, outcomes)
    together: dict[SearchOptions, list[int]] = defaultdict(list)
    for number in queries:
        together[asked[number].options].append(number)
    for numbers in together.values():
        outcomes.update(_found(archive, {one: (asked[one], queries[one]) for one in numbers}))
    return SearchBatch(results=tuple(outcomes[number] for number in range(len(questions))))


def _require_space(archive: OpenedArchive, questions: Sequence[Question]) -> None:
    """Refuse what cannot be searched before anything is encoded; of other questions the search itself reads
    the filters.
    """
    _ = archive.searchable_space
    for one in questions:
        if one.options.where and (one.text is not None or one.images or one.crop is not None):
            archive.index.filters.check(one.options.where)


def _queries(
    archive: OpenedArchive, asked: Mapping[int, Question], outcomes: dict[int, SearchOutcome]
) -> dict[int, Query]:
    texts = encoded_texts(archive, list(asked.values()))
    stored = stored_parts(archive, asked.values())
    queries = {}
    for number, question in asked.items():
        try:
            queries[number] = query_of(archive, question, texts, stored)
        except (ServiceError, CatalogError) as error:
            outcomes[number] = _refused(error)
    return queries


def _found(archive: OpenedArchive, asked: Mapping[int, tuple[Question, Query]]) -> dict[int, SearchOutcome]:
    """The answers to questions that are asked in the same way, together if none of them is refused."""
    options = next(question.options for question, _ in asked.values())
    try:
        found: list[Found] = archive.index.find(
            [query.asked(question) for question, query in asked.values()], options
        )
    except CatalogError as error:
        if len(asked) == 1:
            return {number: _refused(error) for number in asked}
        return {
            number: outcome
            for one, pair in asked.items()
            for number, outcome in _found(archive, {one: pair}).items()
        }
    answers = (answer_of(archive, *pair, one) for pair, one in zip(asked.values(), found, strict=True))
    return {
        number: SearchOutcome.model_validate(answer.model_dump(exclude_unset=True))
        for number, answer in zip(asked, answers, strict=True)
    }


def _refused(error: ServiceError | CatalogError) -> SearchOutcome:
    """The error of one question; raises it again if it is of all."""
    explained = explain(error)
    may_pass = isinstance(error, ServiceError) and error.retry_after is not None
    if may_pass or (isinstance(error, CatalogError) and error.code not in _OF_A_QUESTION):
        raise error
    assert explained is not None
    return SearchOutcome(error=ErrorDetail(code=explained.code, message=explained.message))
