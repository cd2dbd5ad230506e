"""Conditions on a member of `images.quality`: a number, a text, true or false, or absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, false, literal, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import images


class _Kind(FunctionElement[str]):
    """The JSON type `number`, `string` or `boolean`, NULL if absent: a cast of anything but a number fails on
    PostgreSQL and gives 0 on SQLite.
    """

    inherit_cache = True
    type = String()


@compiles(_Kind, "sqlite")
def _kind_of_sqlite(element: _Kind, compiler: Any, **options: Any) -> str:
    column, path, _ = (compiler.process(part, **options) for part in element.clauses)
    return (
        f"CASE json_type({column}, {path}) WHEN 'integer' THEN 'number' WHEN 'real' THEN 'number' "
        "WHEN 'text' THEN 'string' WHEN 'true' THEN 'boolean' WHEN 'false' THEN 'boolean' END"
    )


@compiles(_Kind, "postgresql")
def _kind_of_postgresql(element: _Kind, compiler: Any, **options: Any) -> str:
    column, _, name = (compiler.process(part, **options) for part in element.clauses)
    return f"nullif(json_typeof({column} -> {name}), 'null')"


def equals_any(name: str, values: Sequence[str]) -> ColumnElement[bool]:
    """The condition that the quality is one of `values`: a number or text written like this, 1 or 0 for
    `true` or `false`, absent for an empty value. Never NULL.
    """
    given = [value for value in values if value]
    ways: list[ColumnElement[bool]] = []
    if len(given) < len(values):
        ways.append(_kind(name).is_(None))
    if given:
        ways.append(_equals_one(name, given))
    return or_(*ways)


def ordered(
    name: str, compare: Callable[[Any, Any], ColumnElement[bool]], number: float
) -> ColumnElement[bool]:
    """The condition that the quality is a number and compares so with `number`."""
    return compare(_number(name), number)


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _equals_one(name: str, values: Sequence[str]) -> ColumnElement[bool]:
    kind, member = _kind(name), images.c.quality[name]
    ways = [and_(kind == "string", one_of(member.as_string(), values))]
    truths = [value == "true" for value in values if value in ("true", "false")]
    numbers = [float(value) for value in values if is_number(value)] + [float(truth) for truth in truths]
    if numbers:
        ways.append(one_of(_number(name), numbers))
    boolean = case((kind == "boolean", member.as_boolean()), else_=None)
    ways += [boolean == truth for truth in sorted(set(truths))]
    return case((or_(*ways), literal(True)), else_=false())


def _number(name: str) -> ColumnElement[Any]:
    # Only CASE keeps PostgreSQL from casting before it checks the type.
    return case((_kind(name) == "number", images.c.quality[name].as_float()), else_=None)


def _kind(name: str) -> ColumnElement[str]:
    return _Kind(images.c.quality, literal(f'$."{name}"'), literal(name))
