"""Pages of cases by keyset: the place of the last case in the sort, not a number of cases to leave out, so
that a page is as fast as the first, and cases that come or go meanwhile move no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from medsiglip.index.browsing.browsing_records import MOST_COUNTED, CasePage
from medsiglip.index.browsing.case_facts import case_records
from medsiglip.index.browsing.page_cursor import Key, Place, cursor_of, place_of
from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.filter_queries import parsed
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, instances, patients, series, studies
from medsiglip.index.errors import CatalogError, excerpt

# A filter on one of these fits few images: they are found first, and their cases then.
_SELECTIVE = (
    images.c.id,
    instances.c.sop_instance_uid,
    instances.c.pixel_hash,
    series.c.series_instance_uid,
)


@dataclass(frozen=True, slots=True)
class Sort:
    """What cases are sorted by. Cases without a value come last in both directions; equal ones are in the
    order of their row ids.
    """

    column: ColumnElement[Any]
    kind: type
    nullable: bool


_IMAGE_COUNT = (
    select(func.count())
    .where(images.c.study_id == studies.c.id, images.c.space_id == ACTIVE_SPACE)
    .correlate(studies)
    .scalar_subquery()
)
SORTS: dict[str, Sort] = {
    "study_date": Sort(studies.c.study_date, str, True),
    "added_at": Sort(studies.c.added_at, datetime, False),
    "patient_age": Sort(studies.c.patient_age, float, True),
    "images": Sort(_IMAGE_COUNT, int, False),
    "study_instance_uid": Sort(studies.c.study_instance_uid, str, False),
}
"""The sorts of cases by name; `-` before a name turns it round."""


def sort_named(name: str) -> tuple[Sort, bool]:
    """The sort of a name, and whether it is turned round. Raises `CatalogError` `bad-sort`."""
    found = SORTS.get(name.removeprefix("-"))
    if found is None:
        raise CatalogError(
            "bad-sort",
            f"Cases cannot be sorted by {excerpt(name)}; choose {', '.join(SORTS)}, with - before it to turn "
            "the order round.",
        )
    return found, name.startswith("-")


def fitting(chosen: Sequence[filters.Filter]) -> list[ColumnElement[bool]]:
    """The conditions on `studies`, joined with `patients`, that an image of the active space passes them all.

    What is compared of studies is compared once for each, and not for each of its images.
    """
    of_images = [one for one in chosen if one.level != "study"]
    outer = (studies, patients)
    inner = [replace(one, tables=tuple(t for t in one.tables if t not in outer)) for one in of_images]
    passing = (images.c.space_id == ACTIVE_SPACE, filters.conjunction(of_images))
    conditions = [one.condition for one in chosen if one.level == "study"]
    if any(one.value is column for one in of_images for column in _SELECTIVE):
        found = select(images.c.study_id).select_from(filters.joined(of_images)).where(*passing)
        found = found.correlate(None)
        return [*conditions, studies.c.id.in_(found)]
    held = (
        select(images.c.id)
        .select_from(filters.joined(inner))
        .where(images.c.study_id == studies.c.id, *passing)
    )
    return [*conditions, held.correlate(studies, patients).exists()]


def case_page(
    connection: Connection, where: Sequence[str], sort: str, limit: int, cursor: str | None
) -> CasePage:
    """At most `limit` cases of which an image passes all filters, behind the cursor.

    Raises `CatalogError` `bad-filter`, `bad-sort` or `bad-cursor`.
    """
    order, turned = sort_named(sort)
    after = None if cursor is None else place_of(cursor, sort, where, order.kind)
    conditions = fitting(parsed(connection, where))
    counted = _of_studies(studies.c.id).where(*conditions).limit(MOST_COUNTED + 1).subquery()
    total = connection.execute(select(func.count()).select_from(counted)).scalar_one()
    places = _places(connection, order, turned, conditions, after, limit + 1)
    shown = places[:limit]
    return CasePage(
        cases=tuple(case_records(connection, [place.study_id for place in shown])),
        total=min(total, MOST_COUNTED),
        capped=total > MOST_COUNTED,
        cursor=cursor_of(shown[-1], sort, where) if len(places) > limit else None,
    )


def _of_studies(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).select_from(studies.join(patients, studies.c.patient_id == patients.c.id))


def _places(
    connection: Connection,
    order: Sort,
    turned: bool,
    conditions: Sequence[ColumnElement[bool]],
    after: Place | None,
    most: int,
) -> list[Place]:
    """The next places behind one: first of cases with a value, then of those without, so that each statement
    reads one stretch of an index.
    """
    found: list[Place] = []
    if after is None or after.key is not None:
        given = [order.column.is_not(None)] if order.nullable else []
        behind = [] if after is None else [_behind(order.column, after, turned)]
        found = _read(connection, order.column, turned, [*conditions, *given, *behind], most)
    if order.nullable and len(found) < most:
        absent: list[ColumnElement[bool]] = [order.column.is_(None)]
        if after is not None and after.key is None:
            absent.append(studies.c.id < after.study_id if turned else studies.c.id > after.study_id)
        found += _read(connection, order.column, turned, [*conditions, *absent], most - len(found))
    return found


def _behind(column: ColumnElement[Any], after: Place, turned: bool) -> ColumnElement[bool]:
    key: Key = after.key
    if turned:
        return and_(column <= key, or_(column < key, studies.c.id < after.study_id))
    return and_(column >= key, or_(column > key, studies.c.id > after.study_id))


def _read(
    connection: Connection,
    column: ColumnElement[Any],
    turned: bool,
    conditions: Sequence[ColumnElement[bool]],
    most: int,
) -> list[Place]:
    by = (column, studies.c.id)
    statement = _of_studies(column.label("key"), studies.c.id).where(*conditions)
    statement = statement.order_by(*(one.desc() if turned else one for one in by)).limit(most)
    return [Place(row[0], row[1]) for row in connection.execute(statement)]


def study_uids(connection: Connection, where: Sequence[str]) -> list[str]:
    """The UIDs of all cases of which an image passes the filters, in the order in which they came."""
    statement = _of_studies(studies.c.study_instance_uid).where(*fitting(parsed(connection, where)))
    return list(connection.execute(statement.order_by(studies.c.id)).scalars())
