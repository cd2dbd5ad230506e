"""Counting what a home holds, and saying how its vectors are searched."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    files,
    images,
    instances,
    patients,
    series,
    shards,
    studies,
)
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines.engine import LEVELS, Collection
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.index.info_records import (
    AnswerInfo,
    EngineInfo,
    FaissInfo,
    IndexInfo,
    MemoryInfo,
    SearchInfo,
)
from medsiglip.index.records import Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.index_kinds import DEFAULT, ChosenKind, device_of
from medsiglip.index.search.kinds.vector_search import VectorSearch


def info(database: Database, space: CurrentSpace) -> IndexInfo:
    """Counts of the home; images, vectors and FAISS of the active space."""
    active = space.find()
    faiss, search = FaissInfo(DEFAULT.spec, 0, DEFAULT.device), None
    if active is not None:
        with space.loaded() as loaded:
            index = loaded.index
            faiss = FaissInfo(index.spec, len(index.ids), device_of(index))
            if space.chosen is not None:
                search = _search_info(index, space.chosen)
    with database.read() as connection:
        outcomes = connection.execute(select(files.c.outcome, func.count()).group_by(files.c.outcome))
        mine = shards.c.space_id == ACTIVE_SPACE
        held = connection.execute(select(func.coalesce(func.sum(shards.c.rows), 0), func.count()).where(mine))
        vectors, shard_count = held.one()
        return IndexInfo(
            space=active.space.name if active else None,
            model=active.space.model if active else None,
            studies=count_rows(connection, studies),
            series=count_rows(connection, series),
            instances=count_rows(connection, instances),
            images=count_rows(connection, images, images.c.space_id == ACTIVE_SPACE),
            vectors=int(vectors),
            patients=count_rows(connection, patients),
            files={row[0]: row[1] for row in outcomes},
            shards=shard_count,
            faiss=faiss,
            search=search,
            engine=None if active is None else _engine_info(space, active),
        )


def _engine_info(space: CurrentSpace, active: ActiveSpace) -> EngineInfo | None:
    home = space.engine
    if home is None:
        return None
    waiting, counts = home.waiting(), dict[Level, int | None]()
    for level in LEVELS:
        try:
            counts[level] = home.engine.count(Collection(active.row_id, level, active.space.dimension))
        except CatalogError as error:
            if error.code not in OUTAGES:
                raise
            counts[level] = None
    return EngineInfo(home.name, counts["image"], counts["series"], counts["study"], waiting)


def _search_info(index: VectorSearch, chosen: ChosenKind) -> SearchInfo:
    not_on_device = getattr(index, "device_reason", None)
    share, approximate = getattr(index, "share", None), int(getattr(index, "approximate", 0))
    proven, given = (share.proven, share.answers) if share is not None else (0, 0)
    return SearchInfo(
        kind=chosen.name,
        why=chosen.why if not_on_device is None else f"{chosen.why}; {not_on_device}",
        device=device_of(index),
        memory=MemoryInfo(*index.memory()),
        recall=getattr(index, "measured_recall", None),
        answers=AnswerInfo(given + approximate, proven, approximate),
    )


def count_rows(connection: Connection, table: Table, *conditions: Any) -> int:
    """The number of rows of a table that fit the conditions."""
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
