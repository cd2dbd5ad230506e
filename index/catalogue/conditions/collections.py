"""The condition `collection=NAME`: cases that somebody put together under a name."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, not_, or_, select

from medsiglip.index.catalogue.browsing.schema import collection_cases, collections
from medsiglip.index.catalogue.filter_expression import Expression, bad_filter, suggestion
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import studies


def names_asked(expression: Expression) -> tuple[str, ...]:
    """The names of the collections that an expression asks for; none for "in no collection"."""
    return tuple(name for name in expression.alternatives() if name)


def in_any(expression: Expression) -> ColumnElement[bool]:
    """The condition that a study is in one of these collections, or for an empty value in none. Never NULL.

    Raises `CatalogError` `bad-filter`.
    """
    if expression.operator not in ("=", "!="):
        raise bad_filter(expression.text, "a collection is asked for by its name; use = or !=")
    given = names_asked(expression)
    ways: list[ColumnElement[bool]] = []
    if "" in expression.alternatives():
        held = select(collection_cases.c.study_id).where(collection_cases.c.study_id == studies.c.id)
        ways.append(~held.correlate(studies).exists())
    if given:
        held = select(collection_cases.c.study_id).join(collections)
        ways.append(studies.c.id.in_(held.where(one_of(collections.c.name, given))))
    matches = or_(*ways)
    return matches if expression.operator == "=" else not_(matches)


def require_collections(connection: Connection, names: set[str]) -> None:
    """Raise `CatalogError` `bad-filter` for the name of no collection."""
    if not names:
        return
    held = set(connection.execute(select(collections.c.name)).scalars())
    for name in sorted(names - held):
        raise bad_filter(f"collection={name}", f"there is no collection of that name{suggestion(name, held)}")
