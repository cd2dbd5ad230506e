"""Which texts hold what is looked for, and how well: BM25, counted in SQL by the same formula on every
database, so that the same texts give the same scores in the same order.

For a word with frequency f in a text of n terms, of N texts with mean length m of which d hold the word:

    ln(1 + (N - d + 0.5) / (d + 0.5)) * f * (K1 + 1) / (f + K1 * (1 - B + B * n / m))

(Robertson and Zaragoza, The probabilistic relevance framework: BM25 and beyond, 2009, with the logarithm that
never falls below 0, as Lucene has it.) Phrases and beginnings count as words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, func, literal, or_, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

from medsiglip.index.catalogue.draft_schema import report_terms
from medsiglip.index.catalogue.full_text.search_tables import (
    Alternatives,
    Holding,
    count_holding,
    has_search_table,
)
from medsiglip.index.catalogue.full_text.words_query import Form, Sought, WordsQuery

K1, B = 1.2, 0.75
_SOURCES = 3
"""Most texts of one study."""


@dataclass(frozen=True, slots=True)
class RankedText:
    """The best text of a study; `found` are the places in `WordsQuery.wanted` of what it holds."""

    study_id: int
    source: str
    score: float
    found: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Statistics:
    """The mean length of all texts; of each thing that counts in the score, the forms that some text holds
    and the weight of a word in BM25. The first `wanted` of them are looked for, the others only help.
    """

    mean: float
    forms: tuple[tuple[Form, ...], ...]
    weights: tuple[float, ...]
    wanted: int

    @property
    def sought(self) -> tuple[tuple[Form, ...], ...]:
        """The forms of what is looked for."""
        return self.forms[: self.wanted]


def rank(
    connection: Connection, query: WordsQuery, passing: ColumnElement[bool], limit: int
) -> list[RankedText]:
    """The best `limit` studies by their best text: texts with more of what is looked for come first, then
    higher scores, then lower study ids. `passing` is a condition on `report_terms`.

    Weights and mean length are those of all texts, also of those that do not pass.
    """
    holding = _holding_of(connection)
    statistics = _statistics(connection, query, holding)
    if not any(statistics.sought):
        return []
    without = and_(passing, *(_without(one, holding) for one in query.excluded))
    if all(statistics.sought):
        complete = _best(connection, statistics, and_(without, holding(statistics.sought)), limit, whole=True)
        if len(complete) == limit or len(query.wanted) == 1:
            return complete
    any_form = tuple(form for forms in statistics.sought for form in forms)
    return _best(connection, statistics, and_(without, holding([any_form])), limit, whole=False)


def _holding_of(connection: Connection) -> Callable[[Alternatives], ColumnElement[bool]]:
    """How to tell which texts may hold terms: by what the database has, or, on a SQLite without FTS5, not."""
    if connection.dialect.name == "sqlite" and not has_search_table(connection):
        return lambda _alternatives: true()
    return Holding


def _statistics(connection: Connection, query: WordsQuery, holding: Any) -> _Statistics:
    texts, total = connection.execute(
        select(func.count(), func.coalesce(func.sum(report_terms.c.term_count), 0))
    ).one()
    forms, weights = [], []
    for sought in (*query.wanted, *query.helping):
        counts = {form: _count(connection, [form], holding) for form in sought.forms}
        held = tuple(form for form, count in counts.items() if count)
        count = _count(connection, held, holding) if len(held) > 1 else sum(counts.values())
        forms.append(held)
        weights.append(log(1 + (texts - count + 0.5) / (count + 0.5)))
    mean = max(float(total) / max(texts, 1), 1.0)
    return _Statistics(mean, tuple(forms), tuple(weights), len(query.wanted))


def _count(connection: Connection, forms: Sequence[Form], holding: Any) -> int:
    """How many texts hold one of these forms."""
    if holding is Holding and all(len(form.terms) == 1 for form in forms):
        return count_holding(connection, [forms])
    statement = select(func.count()).select_from(report_terms).where(_holds(forms, holding))
    return connection.execute(statement).scalar_one()


def _holds(forms: Sequence[Form], holding: Any) -> ColumnElement[bool]:
    """The condition that a text holds one of these forms."""
    condition: ColumnElement[bool] = holding([forms])
    if condition is not true() and all(len(form.terms) == 1 for form in forms):
        return condition
    there = or_(*(report_terms.c.terms.contains(form.pattern, autoescape=True) for form in forms))
    return and_(condition, there)


def _without(sought: Sought, holding: Any) -> ColumnElement[bool]:
    """The condition that no text of a study holds what is left out."""
    others = select(report_terms.c.study_id).where(_holds(sought.forms, holding))
    return report_terms.c.study_id.not_in(others)


def _best(
    connection: Connection,
    statistics: _Statistics,
    condition: ColumnElement[bool],
    limit: int,
    *,
    whole: bool,
) -> list[RankedText]:
    """The best studies of the texts for which the condition holds; if `whole`, of those that hold all that is
    looked for.
    """
    counted = (
        select(
            report_terms.c.study_id,
            report_terms.c.source,
            report_terms.c.term_count,
            *(_frequency(forms).label(f"f{place}") for place, forms in enumerate(statistics.forms)),
        )
        .where(condition)
        .cte("counted")
        .prefix_with("MATERIALIZED")  # or a database counts again for each use of a frequency
    )
    frequencies = [counted.c[f"f{place}"] for place in range(len(statistics.forms))]
    sought = frequencies[: statistics.wanted]
    found = sum((case((one > 0, 1), else_=0) for one in sought), literal(0, Integer))
    share = literal(B / statistics.mean, Double) * counted.c.term_count
    penalty = literal(K1, Double) * (literal(1 - B, Double) + share)
    score = sum(
        (
            literal(weight, Double) * (one * literal(K1 + 1, Double)) / (one + penalty)
            for weight, one in zip(statistics.weights, frequencies, strict=True)
        ),
        literal(0.0, Double),
    ).label("score")
    statement = (
        select(counted.c.study_id, counted.c.source, score, *sought)
        .where(found == len(sought) if whole else found > 0)
        .order_by(found.desc(), score.desc(), counted.c.study_id, counted.c.source)
        .limit(limit * _SOURCES)
    )
    best: dict[int, RankedText] = {}
    for study_id, source, value, *counts in connection.execute(statement):
        places = tuple(place for place, count in enumerate(counts) if count)
        best.setdefault(study_id, RankedText(study_id, source, value, places))
    return list(best.values())[:limit]


def _frequency(forms: Sequence[Form]) -> ColumnElement[int]:
    """How often a text holds one of these forms."""
    terms, counts = report_terms.c.terms, []
    for form in forms:
        removed = _Bytes(terms) - _Bytes(func.replace(terms, form.pattern, ""))
        counts.append(removed // literal(len(form.pattern.encode()), Integer))
    return sum(counts, literal(0, Integer))


class _Bytes(FunctionElement[int]):
    """The bytes of a text in UTF-8, known without counting its characters."""

    type = Integer()
    inherit_cache = True


@compiles(_Bytes, "sqlite")
def _bytes_sqlite(element: _Bytes, compiler: Any, **options: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


@compiles(_Bytes, "postgresql")
def _bytes_postgresql(element: _Bytes, compiler: Any, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"
