"""The condition that a check of a draft's sentences has a verdict, in SQLite and in PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class HasVerdict(FunctionElement[bool]):
    """Whether one of the `checks` of a draft's payload has this verdict."""

    type = Boolean()
    inherit_cache = True
    name = "has_verdict"

    def __init__(self, payload: ColumnElement[Any], verdict: str) -> None:
        super().__init__(payload, literal(verdict))


@compiles(HasVerdict, "sqlite")
def _sqlite(element: HasVerdict, compiler: SQLCompiler, **how: Any) -> str:
    payload, verdict = (compiler.process(one, **how) for one in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_each({payload}, '$.checks') AS checked"
        f" WHERE json_extract(checked.value, '$.verdict') = {verdict})"
    )


@compiles(HasVerdict, "postgresql")
def _postgresql(element: HasVerdict, compiler: SQLCompiler, **how: Any) -> str:
    payload, verdict = (compiler.process(one, **how) for one in element.clauses)
    checks = f"{payload} -> 'checks'"
    # A row of an earlier version may have no list there, and json_array_elements refuses anything else.
    rows = f"CASE WHEN json_typeof({checks}) = 'array' THEN {checks} ELSE '[]'::json END"
    return (
        f"EXISTS (SELECT 1 FROM json_array_elements({rows}) AS checked(value)"
        f" WHERE checked.value ->> 'verdict' = {verdict})"
    )
