"""What an engine is to be told of a portion of the outbox, as the catalogue has it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, select

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import row_ids
from medsiglip.index.catalogue.schema import (
    images,
    series,
    shards,
    spaces,
    studies,
    vector_changes,
)
from medsiglip.index.engines.engine import FIELDS
from medsiglip.index.engines.outbox import DROP
from medsiglip.index.records import Level
from medsiglip.index.vectors import Ids

CHANGES = 4096
"""Changes that are taken at once; with them come all others of the same studies."""
Fields = dict[str, list[Any]]

_COLUMNS: dict[str, Column[Any]] = {
    "patient": studies.c.patient_id,
    "study": series.c.study_id,
    "series": images.c.series_id,
    **{name: images.c[name] for name in ("frame", "rendering")},
    **{name: series.c[name] for name in FIELDS["series"] if name in series.c and name != "study"},
    **{name: studies.c[name] for name in FIELDS["study"] if name in studies.c},
}
_SOURCES: dict[Level, Any] = {
    "image": images.join(series, images.c.series_id == series.c.id).join(
        studies, series.c.study_id == studies.c.id
    ),
    "series": series.join(studies, series.c.study_id == studies.c.id),
    "study": studies,
}
_IDS: dict[Level, Column[Any]] = {"image": images.c.id, "series": series.c.id, "study": studies.c.id}


class SpaceOf(NamedTuple):
    """A space: its row id, name and dimension."""

    row_id: int
    name: str
    dimension: int


@dataclass(frozen=True, slots=True, eq=False)
class LevelRows:
    """Rows of a level to put, `ids` [n] with their `fields` [n], and those that are `gone`."""

    ids: Ids
    fields: Fields
    gone: Ids


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """A part of the outbox: the row ids of its `changes`, all of one space. That was `dropped`, or does not
    exist (None), or `levels` says what changed in it.

    `members` int64 [m, 4] are image, shard, series and study of all images that these studies have, by image
    id, and `names` the names of their shards.
    """

    changes: list[int]
    space_id: int
    space: SpaceOf | None
    dropped: bool = False
    members: NDArray[np.int64] | None = None
    names: dict[int, str] | None = None
    levels: dict[Level, LevelRows] | None = None


def newest(connection: Connection) -> int:
    """The highest id of a change, 0 for none."""
    statement = select(vector_changes.c.id).order_by(vector_changes.c.id.desc()).limit(1)
    return int(connection.execute(statement).scalar() or 0)


def next_portion(connection: Connection, last: int) -> Portion | None:
    """The next portion of the changes with ids up to `last`, None for none."""
    until = vector_changes.c.id <= last
    dropped = select(vector_changes.c.id, vector_changes.c.space_id).where(
        until, vector_changes.c.kind == DROP
    )
    first = connection.execute(dropped.order_by(vector_changes.c.id).limit(1)).first()
    if first is not None:
        return Portion([first.id], first.space_id, None, dropped=True)
    columns = (vector_changes.c.space_id, vector_changes.c.study_id)
    begin = connection.execute(select(*columns).where(until).order_by(vector_changes.c.id).limit(CHANGES))
    found = begin.all()
    if not found:
        return None
    space_id = found[0].space_id
    study_ids = sorted({row.study_id for row in found if row.space_id == space_id})
    theirs = (until, vector_changes.c.space_id == space_id, one_of(vector_changes.c.study_id, study_ids))
    told = (vector_changes.c.id, vector_changes.c.image_id, vector_changes.c.series_id)
    rows = row_ids(connection, select(*told).where(*theirs)).reshape(-1, 3)
    changes = rows[:, 0].tolist()
    space = _space(connection, space_id)
    if space is None:
        return Portion(changes, space_id, None)
    columns_of_members = (images.c.id, images.c.shard_id, images.c.series_id, images.c.study_id)
    held = select(*columns_of_members).where(
        one_of(images.c.study_id, study_ids), images.c.space_id == space_id
    )
    members = row_ids(connection, held).reshape(-1, 4)
    members = members[np.argsort(members[:, 0])]
    named = select(shards.c.id, shards.c.name).where(one_of(shards.c.id, np.unique(members[:, 1]).tolist()))
    names = {row.id: row.name for row in connection.execute(named)}
    changed: dict[Level, Ids] = {
        "image": np.unique(rows[:, 1]),
        "series": np.unique(rows[:, 2]),
        "study": np.array(study_ids, np.int64),
    }
    places: dict[Level, int] = {"image": 0, "series": 2, "study": 3}
    levels = {
        level: _level_rows(connection, level, ids, members[:, places[level]])
        for level, ids in changed.items()
    }
    return Portion(changes, space_id, space, False, members, names, levels)


def fields_of(connection: Connection, level: Level, ids: Sequence[int]) -> tuple[Ids, Fields]:
    """The rows of a level that exist among `ids`, ascending, and their fields."""
    names = list(FIELDS[level])
    chosen = select(_IDS[level], *(_COLUMNS[name].label(name) for name in names))
    chosen = chosen.select_from(_SOURCES[level]).where(one_of(_IDS[level], list(ids)))
    rows = connection.execute(chosen.order_by(_IDS[level])).all()
    columns = list(zip(*rows, strict=True)) or [()] * (1 + len(names))
    fields = {name: list(column) for name, column in zip(names, columns[1:], strict=True)}
    return np.array(columns[0], np.int64), fields


def _level_rows(connection: Connection, level: Level, changed: Ids, present: Ids) -> LevelRows:
    """Those of the changed rows that have an image in the space, and those that have none."""
    there = np.isin(changed, present)
    ids, fields = fields_of(connection, level, changed[there].tolist())
    return LevelRows(ids, fields, changed[~there])


def _space(connection: Connection, space_id: int) -> SpaceOf | None:
    found = connection.execute(select(spaces).where(spaces.c.id == space_id)).first()
    return None if found is None else SpaceOf(found.id, found.name, found.dimension)
