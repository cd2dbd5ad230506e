"""Counting what a home holds, and saying how its vectors are searched."""

from __future__ import annotations

from collections.abc import Sequence
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
from medsiglip.index.engines.home_engine import HomeEngine
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

# Errors of an engine that cannot be used now: it is shown as away, with the code.
_AWAY = OUTAGES | {"bad-engine", "engine-refused", "missing-extra", "no-pgvector", "wrong-engine"}


def info(database: Database, space: CurrentSpace, *, asks_engine: bool = True) -> IndexInfo:
    """Counts of the home; images, vectors and FAISS of the active space. A vector engine is asked for its
    rows only if it is to be, which takes as long as it takes to answer.
    """
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
            engine=None if active is None else _engine_info(space, active, asks_engine),
        )


def engine_answers(space: CurrentSpace) -> bool:
    """Whether the engine of a home can be used; True without one."""
    active = space.find()
    if space.engine is None or active is None:
        return True
    counts, _ = _rows(space.engine, active, ("study",))
    return counts["study"] is not None


def _engine_info(space: CurrentSpace, active: ActiveSpace, asks: bool) -> EngineInfo | None:
    home = space.engine
    if home is None:
        return None
    counts, problem = _rows(home, active, LEVELS if asks else ())
    return EngineInfo(home.name, counts["image"], counts["series"], counts["study"], home.waiting(), problem)


def _rows(
    home: HomeEngine, active: ActiveSpace, levels: Sequence[Level]
) -> tuple[dict[Level, int | None], str | None]:
    """How many rows an engine has at these levels, None for the others; and, where it cannot be used, the
    code of the first error, after which it is not asked again.
    """
    counts: dict[Level, int | None] = dict.fromkeys(LEVELS)
    try:
        for level in levels:
            counts[level] = home.engine.count(Collection(active.row_id, level, active.space.dimension))
    except CatalogError as error:
        if error.code not in _AWAY:
            raise
        return dict.fromkeys(LEVELS), error.code
    return counts, None


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
