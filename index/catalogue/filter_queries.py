"""Questions with `--where` expressions: which images and studies pass, and what they have of a field."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, select, true

from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.conditions.collections import require_collections
from medsiglip.index.catalogue.conditions.predictions import probe_condition, without_prediction
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_expression import Expression
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import row_ids
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, home, images, patients, series, studies
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.records import Level

# Every image has nearly the same qualities, so a few images name them all.
_SOME_IMAGES = 1000


def parsed(connection: Connection, where: Iterable[str]) -> tuple[filters.Filter, ...]:
    """The filters that expressions stand for; raises `CatalogError` `bad-filter`, also for a label, a
    quality, a collection or a prediction that nothing in the index has.
    """
    return tuple(filters.either(terms) for terms in _terms(connection, where))


def _terms(connection: Connection, where: Iterable[str]) -> list[list[filters.Term]]:
    """The terms of each expression, with the conditions of those on predictions."""
    if isinstance(where, str):
        raise TypeError("where takes a sequence of expressions, not one string")
    found = filters.parse_all(tuple(where))
    chosen = [term.filter for terms in found for term in terms]
    named = {one.label for one in chosen if one.label is not None}
    held = labels.names(connection) if named else []
    for name in sorted(named.difference(held)):
        known = filters.suggestion(name, held)
        raise CatalogError(
            "bad-filter",
            f"The filter on label {excerpt(name)} cannot be used: no case has that label{known}.",
        )
    for name in sorted({one.quality for one in chosen if one.quality is not None}):
        _require_quality(connection, name)
    require_collections(connection, {name for one in chosen for name in one.collections})
    return [[_resolved(connection, term) for term in terms] for terms in found]


def _resolved(connection: Connection, term: filters.Term) -> filters.Term:
    asked = term.filter.probe
    return term if asked is None else replace(term, filter=_of_probe(connection, asked))


def _of_probe(connection: Connection, expression: Expression) -> filters.Filter:
    """The filter on a probe's predictions, at the probe's level."""
    found = probe_condition(connection, expression)
    tables = {"image": (), "series": (series,), "study": (studies,)}[found.level]
    return filters.Filter(found.condition, tables, value=found.value, level=found.level, probe=expression)


def _require_quality(connection: Connection, name: str) -> None:
    """Raise `CatalogError` `bad-filter` if there are images and none has that quality."""
    given = images.c.quality[name].as_string().is_not(None)
    if connection.execute(select(images.c.id).where(given).limit(1)).first() is not None:
        return
    some = connection.execute(select(images.c.quality).limit(_SOME_IMAGES)).scalars()
    names = {one for quality in some for one in quality}
    if names:
        known = filters.suggestion(name, names)
        raise CatalogError(
            "bad-filter",
            f"The filter on quality {excerpt(name)} cannot be used: no image has that{known}.",
        )


def passing_images(
    connection: Connection, where: Iterable[str], among: Sequence[str] | None = None
) -> list[int]:
    """Ids of the images of the active space that pass every filter, of all studies or only of
    those `among`, by UID. Raises `CatalogError` `bad-filter`.
    """
    chosen = parsed(connection, where)
    statement = select(images.c.id).select_from(filters.joined(chosen))
    statement = statement.where(images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen), _of(among))
    return list(connection.execute(statement).scalars().all())


def passing_by_study(connection: Connection, where: Iterable[str]) -> NDArray[np.int64]:
    """The images of the active space that pass every filter, each with its study: row ids int64 [n, 2].
    Raises `CatalogError` `bad-filter`.
    """
    chosen = parsed(connection, where)
    statement = select(images.c.id, images.c.study_id).select_from(filters.joined(chosen))
    statement = statement.where(images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen))
    return row_ids(connection, statement).reshape(-1, 2)


def passing_by_level(
    connection: Connection, chosen: Sequence[filters.Filter]
) -> dict[Level, NDArray[np.int64]]:
    """The row ids int64 [n] that pass filters, as `parsed` gives them, by the level of the columns that they
    compare: an image passes all filters if it, its series and its study are listed, each where its level is.

    A filter on series or studies thus costs a row for each of them, not one for each image.
    """
    found: dict[Level, NDArray[np.int64]] = {}
    sources: dict[Level, tuple[Any, ColumnElement[Any]]] = {
        "series": (series, series.c.id),
        "study": (studies.join(patients), studies.c.id),
        "image": (None, images.c.id),
    }
    for level, (source, column) in sources.items():
        of_level = [one for one in chosen if one.level == level]
        if of_level:
            statement = select(column).select_from(filters.joined(of_level) if source is None else source)
            statement = statement.where(filters.conjunction(of_level))
            if level == "image":
                statement = statement.where(images.c.space_id == ACTIVE_SPACE)
            found[level] = row_ids(connection, statement)
    return found


def _of(among: Sequence[str] | None) -> ColumnElement[bool]:
    """The condition that an image belongs to one of these studies; always true for None."""
    if among is None:
        return true()
    return images.c.study_id.in_(select(studies.c.id).where(one_of(studies.c.study_instance_uid, among)))


class FilterQueries:
    """Questions about the images of one catalogue's active space; each may raise
    `CatalogError` `bad-filter`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uncounted: dict[str, tuple[int, int]] = {}  # by probe: the catalogue's version, and the count

    def check(self, where: Sequence[str]) -> None:
        """Raise an error as a search with these filters would."""
        with self._database.read() as connection:
            parsed(connection, where)

    def warnings(self, where: Sequence[str]) -> tuple[str, ...]:
        """What to say of an answer with these filters: how many images their probes have not scored."""
        if not any("probe:" in text for text in where):
            return ()
        asked: dict[str, Expression] = {}
        with self._database.read() as connection:
            for terms in _terms(connection, where):
                probes = [term.filter.probe for term in terms if term.filter.probe is not None]
                asked |= {one.name.partition("/")[0]: one for one in probes}
            counts = {name: self._without_prediction(connection, asked[name]) for name in asked}
        return tuple(
            f"{count} images have no part in the stored predictions of the probe {name}; "
            f"`probe predict {name} --all --store` scores them"
            for name, count in counts.items()
            if count
        )

    def _without_prediction(self, connection: Connection, expression: Expression) -> int:
        """As `without_prediction` counts, once for each version of the catalogue."""
        version = connection.execute(select(home.c.version)).scalar_one()
        name = expression.name.partition("/")[0]
        held = self._uncounted.get(name)
        if held is None or held[0] != version:
            held = version, without_prediction(connection, expression)
            self._uncounted[name] = held
        return held[1]

    def passing(self, where: Sequence[str], among: Sequence[str]) -> set[str]:
        """Those of the studies `among`, by UID, of which an image passes the filters."""
        with self._database.read() as connection:
            chosen = parsed(connection, where)
            statement = select(studies.c.study_instance_uid).select_from(filters.joined(chosen, studies))
            passing = (images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen), _of(among))
            return set(connection.execute(statement.where(*passing).distinct()).scalars())

    def held(self, field: str) -> set[str]:
        """The values that series of the catalogue have of `modality` or `body_part_examined`."""
        column = series.c[field]
        with self._database.read() as connection:
            return set(connection.execute(select(column).where(column.is_not(None)).distinct()).scalars())

    def values(self, expression: str, study_instance_uids: Collection[str]) -> dict[str, list[Any]]:
        """The values that images of studies have of the field, label or quality that a filter names, by study
        UID, each once and sorted; none for a report.
        """
        found: dict[str, list[Any]] = {uid: [] for uid in study_instance_uids}
        with self._database.read() as connection:
            [chosen] = parsed(connection, [expression])
            if chosen.value is None:
                return found
            statement = select(studies.c.study_instance_uid, chosen.value)
            statement = statement.select_from(filters.joined([chosen], studies))
            theirs = (images.c.space_id == ACTIVE_SPACE, one_of(studies.c.study_instance_uid, list(found)))
            for uid, value in connection.execute(statement.where(*theirs).distinct()):
                if value is not None:
                    found[uid].append(value)
        return {uid: sorted(values, key=str) for uid, values in found.items()}
