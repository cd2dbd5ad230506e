"""Comparisons of a column with the values of a `--where` expression."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, and_, func, literal, not_, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from medsiglip.index.catalogue.conditions.quality import is_number
from medsiglip.index.catalogue.filter_expression import Expression, bad_filter
from medsiglip.index.catalogue.one_of import listed, one_of
from medsiglip.index.errors import excerpt

Kind = Literal["code", "text", "number", "date"]

MOST_LOOKED_FOR = 20
"""The most texts that one filter looks for within a column."""
MOST_RANGES = 20
"""The most ranges of numbers that one filter asks for."""
_RANGE = ".."
_DATE = re.compile(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?")
ORDER: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
"""Conditions by the operators that compare sizes."""


class _Position(FunctionElement[int]):
    """Where the second text begins in the first, from 1; 0 if it does not occur."""

    inherit_cache = True
    type = Integer()


@compiles(_Position, "sqlite")
def _position_of_sqlite(element: _Position, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_of_postgresql(element: _Position, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def compare(expression: Expression, column: ColumnElement[Any], kind: Kind) -> ColumnElement[bool]:
    """The condition that a column of this kind compares so with the values of the expression.

    Raises `CatalogError` `bad-filter`.
    """
    values = expression.alternatives()
    operator = expression.operator
    if operator in ("~", "^="):
        return _holding_any(expression, column, kind, values)
    if operator in ("=", "!="):
        matches = _equals_any(expression, column, kind, values)
        return matches if operator == "=" else not_(func.coalesce(matches, literal(False)))
    if len(values) > 1 or kind in ("code", "text") or values == [""]:
        raise bad_filter(expression.text, f"{operator} compares with one number or date")
    if kind == "number":
        return ORDER[operator](column, number(expression, values[0]))
    first, last = days(expression, values[0])
    return ORDER[operator](column, last if operator in ("<=", ">") else first)


def _holding_any(
    expression: Expression, column: ColumnElement[Any], kind: Kind, values: Sequence[str]
) -> ColumnElement[bool]:
    """Each value is looked for in each text, so that few are allowed."""
    operator = expression.operator
    if kind not in ("code", "text"):
        raise bad_filter(expression.text, f"{operator} looks into texts, and this is a {kind}")
    if "" in values:
        raise bad_filter(expression.text, f"{operator} needs a text to look for")
    if len(values) > MOST_LOOKED_FOR:
        raise bad_filter(
            expression.text, f"{operator} looks for {len(values)} texts and may for {MOST_LOOKED_FOR}"
        )
    held = func.lower(column)
    sought = [func.lower(literal(value)) for value in values]
    if operator == "~":
        return or_(*(_Position(held, one) > 0 for one in sought))
    return or_(*(_Position(held, one) == 1 for one in sought))


def _equals_any(
    expression: Expression, column: ColumnElement[Any], kind: Kind, values: Sequence[str]
) -> ColumnElement[bool]:
    given = [value for value in values if value]
    ways: list[ColumnElement[bool]] = []
    if len(given) < len(values):
        ways.append(column.is_(None))
        if kind in ("code", "text"):
            ways.append(column == "")
    if given:
        ways.append(_one_of(expression, column, kind, given))
    return or_(*ways)


def _one_of(
    expression: Expression, column: ColumnElement[Any], kind: Kind, values: Sequence[str]
) -> ColumnElement[bool]:
    if kind == "number":
        ranges = [value for value in values if _RANGE in value]
        single = [number(expression, value) for value in values if _RANGE not in value]
        ways = [_within(expression, column, ranges)] if ranges else []
        return or_(*ways, *([_one_number_of(column, single)] if single else []))
    if kind == "date":
        return _within_any(column, [days(expression, value) for value in values])
    if kind == "code":
        codes = listed(values)
        return func.upper(column).in_(select(func.upper(codes.c.value)))
    return one_of(column, values)


def _one_number_of(column: ColumnElement[Any], numbers: Sequence[float]) -> ColumnElement[bool]:
    if not isinstance(column.type, Integer):
        return one_of(column, numbers)
    # PostgreSQL uses the index of an integer column only for integers; larger ones are in no column.
    return one_of(column, [int(one) for one in numbers if one.is_integer() and abs(one) < 2**63])


def _within(expression: Expression, column: ColumnElement[Any], ranges: Sequence[str]) -> ColumnElement[bool]:
    """The condition that a number is in one of some ranges, `LOW..HIGH` or, without its end, `LOW..<HIGH`;
    one end may be missing.
    """
    if len(ranges) > MOST_RANGES:
        raise bad_filter(expression.text, f"it has {len(ranges)} ranges and may have {MOST_RANGES}")
    ways = []
    for low, _, end in (one.partition(_RANGE) for one in ranges):
        high = end.removeprefix("<")
        if not low and not high:
            raise bad_filter(expression.text, "a range has a lowest or a highest number, as 60..70 or 65..")
        ends = [column >= number(expression, low)] if low else []
        if high:
            ends.append(ORDER["<" if end.startswith("<") else "<="](column, number(expression, high)))
        ways.append(and_(*ends))
    return or_(*ways)


def _within_any(column: Any, spans: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """The condition that a date is in one of these spans; each is looked up once, by the index on dates."""
    rows = column.table.alias()
    span = listed([first + last for first, last in _without_overlap(spans)])
    first, last = func.substr(span.c.value, 1, 10), func.substr(span.c.value, 11, 10)
    found = select(rows.c.id).select_from(span.join(rows, rows.c[column.name].between(first, last)))
    condition: ColumnElement[bool] = column.table.c.id.in_(found)
    return condition


def _without_overlap(spans: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    joined: list[tuple[str, str]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def number(expression: Expression, text: str) -> float:
    """A finite number; raises `CatalogError` `bad-filter`."""
    if not is_number(text):
        raise bad_filter(expression.text, f"{excerpt(text)} is not a number")
    return float(text)


def days(expression: Expression, text: str) -> tuple[str, str]:
    """First and last day, ISO 8601, of a year, a month or a day."""
    found = _DATE.fullmatch(text)
    year, month, day = (int(part) if part else 0 for part in found.groups()) if found else (0, 0, 0)
    length = calendar.monthrange(year, month or 12)[1] if year and month <= 12 else 0
    if found is None or not length or day > length or "00" in found.groups():
        raise bad_filter(expression.text, f"{excerpt(text)} is not a date; write YYYY, YYYY-MM or YYYY-MM-DD")
    return (
        f"{year:04}-{month or 1:02}-{day or 1:02}",
        f"{year:04}-{month or 12:02}-{day or length:02}",
    )
