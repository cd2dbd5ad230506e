"""Filters as boolean expressions of Milvus (milvus.io/docs/boolean.md): more may pass, but never fewer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from medsiglip.index.catalogue.conditions.comparisons import days, number
from medsiglip.index.catalogue.filter_expression import Expression, Term
from medsiglip.index.catalogue.filters import FIELDS as FILTERS
from medsiglip.index.engines.engine import FIELDS, PushedFilter
from medsiglip.index.engines.milvus.columns import (
    ABSENT_NUMBER,
    ABSENT_WHOLE,
    CODES,
    ID,
    UNCLEAR,
    stored_text,
)
from medsiglip.index.records import Level

_MOST_VALUES, _MOST_RANGES = 1000, 50
_MOST_TERMS = 50
_FARTHEST = 2**61


def takes(level: Level, asked: PushedFilter) -> bool:
    """Whether an expression says what a filter says, or lets more pass."""
    return len(asked.terms) <= _MOST_TERMS and all(_takes(level, term) for term in asked.terms)


def condition(level: Level, filters: Sequence[PushedFilter]) -> str:
    """The expression that all filters hold, each of which must be taken; empty for none."""
    return " and ".join(f"({' or '.join(_term(level, term) for term in one.terms)})" for one in filters)


def _takes(level: Level, term: Term) -> bool:
    expression = term.expression
    if expression.kind != "field" or expression.name not in FIELDS[level].keys() & FILTERS.keys():
        return False
    values = expression.alternatives()
    if expression.operator == "~" or not all(map(_is_plain, values)):
        return False
    if expression.operator == "^=":
        is_pattern = any(set(value) & set("%_") for value in values)
        return expression.name in CODES and len(values) <= _MOST_RANGES and not is_pattern
    are_ranges = FILTERS[expression.name][1] == "date" or any(".." in value for value in values)
    return len(values) <= (_MOST_RANGES if are_ranges else _MOST_VALUES)


def _is_plain(value: str) -> bool:
    """Whether a value needs no escape."""
    return value.isascii() and not set(value) & set("\"'\\") and (value.isprintable() or not value)


def _term(level: Level, term: Term) -> str:
    """What a term asks; a text that is `UNCLEAR` passes in any case."""
    name, kind = term.expression.name, FILTERS[term.expression.name][1]
    if kind == "number":
        asked = _number(term.expression, is_whole=FIELDS[level][name] == "whole")
    elif kind == "date":
        asked = _date(term.expression)
    else:
        asked = _text(term.expression)
    asked = f"not ({asked})" if term.negated else asked
    return f"({asked})" if FIELDS[level][name] != "text" else f"({asked} or {name} == {_quoted(UNCLEAR)})"


def _text(expression: Expression) -> str:
    name = expression.name
    values = [stored_text(name, value) for value in expression.alternatives()]
    if expression.operator == "^=":
        return " or ".join(f"{name} like {_quoted(value + '%')}" for value in values)
    return _equal(expression, f"{name} in [{', '.join(map(_quoted, values))}]")


def _date(expression: Expression) -> str:
    name, operator = expression.name, expression.operator
    if operator in ("=", "!="):
        spans = [days(expression, value) for value in expression.alternatives() if value]
        ways = [f"({name} >= {_quoted(first)} and {name} <= {_quoted(last)})" for first, last in spans]
        absent = [f'{name} == ""'] if "" in expression.alternatives() else []
        return _equal(expression, " or ".join(ways + absent))
    first, last = days(expression, expression.value)
    return f'{name} {operator} {_quoted(last if operator in ("<=", ">") else first)} and {name} != ""'


def _number(expression: Expression, *, is_whole: bool) -> str:
    name, operator = expression.name, expression.operator
    if operator not in ("=", "!="):
        return _ordered(name, operator, number(expression, expression.value), is_whole)
    values = expression.alternatives()
    single = [number(expression, value) for value in values if value and ".." not in value]
    ways = [_range(expression, value, is_whole) for value in values if ".." in value]
    if "" in values:
        single.append(float(ABSENT_WHOLE if is_whole else ABSENT_NUMBER))
    if is_whole:
        single = [int(one) for one in single if one.is_integer() and abs(one) <= -ABSENT_WHOLE]
    if single:
        ways.append(f"{name} in [{', '.join(map(repr, single))}]")
    return _equal(expression, " or ".join(ways) or f"{ID} == -1")


def _range(expression: Expression, value: str, is_whole: bool) -> str:
    low, _, high = value.partition("..")
    below = "<" if high.startswith("<") else "<="
    high = high.removeprefix("<")
    ends = [_ordered(expression.name, ">=", number(expression, low), is_whole)] if low else []
    if high:
        ends.append(_ordered(expression.name, below, number(expression, high), is_whole))
    return f"({' and '.join(ends)})"


def _ordered(name: str, operator: str, limit: float, is_whole: bool) -> str:
    """A comparison by size, of which what is absent is never part."""
    if is_whole:
        rounded = math.ceil(limit) if operator in ("<", ">=") else math.floor(limit)
        limit = max(-_FARTHEST, min(rounded, _FARTHEST))
    absent = ABSENT_WHOLE if is_whole else ABSENT_NUMBER
    return f"({name} {operator} {limit!r} and {name} != {absent!r})"


def _equal(expression: Expression, matches: str) -> str:
    return f"({matches})" if expression.operator == "=" else f"(not ({matches}))"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
