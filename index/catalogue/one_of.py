"""A list of values in a statement as one bound parameter, of any length.

An `OR` or `IN` with a parameter for each value makes a statement that grows with the list: SQLite refuses
expressions more than 1,000 deep and more than 32,766 parameters, PostgreSQL more than 65,535, and every
length is another statement to compile. Here SQLite gets a JSON array, which `json_each` unpacks, and
PostgreSQL an array.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Dialect,
    Double,
    String,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

Values = Sequence[str] | Sequence[int] | Sequence[float]


def one_of(operand: ColumnElement[Any], values: Values) -> ColumnElement[bool]:
    """The condition that `operand` equals one of `values`, texts or numbers of one type without None. It is
    NULL where `operand` is NULL, and false for no values.

    A column's index is used, and values of a column with a custom type
    (`medsiglip.index.catalogue.schema.PathText`) are converted by that type.
    """
    if not values:
        return false()
    item = operand.type if isinstance(operand.type, TypeDecorator) else _type_of(values)
    return _OneOf(operand, _bound(values, item))


def one_of_parameter(operand: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`one_of` with the values of a parameter of the statement, which may be none: for a statement that is
    executed again and again. What SQLAlchemy makes of a statement refers to itself, so that values which are
    part of it stay in memory until garbage is collected.
    """
    return _OneOf(operand, bindparam(name, type_=_List(operand.type)))


def listed(values: Values) -> TableValuedAlias:
    """`values`, at least one, as a table with the column `value`, each value once."""
    item = _type_of(values)
    return _Listed(_bound(values, item)).table_valued(column("value", item))


class _List(TypeDecorator[Values]):
    """A list of values of one type: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the bound parameter."""
        bound: TypeEngine[Any] = Text() if dialect.name == "sqlite" else ARRAY(self.item)
        return dialect.type_descriptor(bound)

    def process_bind_param(self, value: Values | None, dialect: Dialect) -> Any:
        """To the database; an array converts its items itself."""
        if dialect.name != "sqlite" or value is None:
            return value
        to_database = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps(value if to_database is None else [to_database(one) for one in value])


class _OneOf(FunctionElement[bool]):
    """The condition that the first clause equals an item of the second, a list.

    It has no type: SQLite would compare a Boolean function with 1, and use no index.
    """

    inherit_cache = True


@compiles(_OneOf, "sqlite")
def _one_of_sqlite(element: _OneOf, compiler: Any, **options: Any) -> str:
    operand, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({operand} IN (SELECT value FROM json_each({values})))"


@compiles(_OneOf, "postgresql")
def _one_of_postgresql(element: _OneOf, compiler: Any, **options: Any) -> str:
    # Unlike a subquery, an array is hashed, or each of its items looked up in an index
    # (postgresql.org/docs/14/release-14.html, E.24.3.1.4).
    operand, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({operand} = ANY ({values}))"


class _Listed(FunctionElement[Any]):
    """The table of the values of a list."""

    inherit_cache = True


@compiles(_Listed, "sqlite")
def _listed_of_sqlite(element: _Listed, compiler: Any, **options: Any) -> str:
    # DISTINCT makes SQLite keep the values; it would unpack the JSON again for each row of a join.
    return f"(SELECT DISTINCT value FROM json_each({compiler.process(element.clauses, **options)}))"


@compiles(_Listed, "postgresql")
def _listed_of_postgresql(element: _Listed, compiler: Any, **options: Any) -> str:
    return f"(SELECT DISTINCT unnest({compiler.process(element.clauses, **options)}) AS value)"


def _bound(values: Values, item: TypeEngine[Any]) -> BindParameter[Values]:
    return bindparam(None, list(values), _List(item))


def _type_of(values: Values) -> TypeEngine[Any]:
    ordinary: dict[type, TypeEngine[Any]] = {str: String(), int: BigInteger(), float: Double()}
    [kind] = {type(value) for value in values}
    return ordinary[kind]
