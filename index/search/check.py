"""Checking that the three layers of a home agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, func, select

from medsiglip.index.catalogue.browsing.schema import thumbnails
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import (
    files,
    home,
    images,
    instances,
    patients,
    series,
    shards,
    studies,
)
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines.engine import LEVELS
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level, Verification
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.deep_check import deep_check, differing_ids
from medsiglip.index.search.engines.engine_check import engine_problems
from medsiglip.index.search.engines.engine_search import EngineSearch
from medsiglip.index.search.home_info import count_rows
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.storage.full_text_agreement import full_text_problems
from medsiglip.index.storage.shards import listed
from medsiglip.index.vectors import Ids, ShardFolder

# A unit vector rounded to float16 (11 bits) is off by at most 5e-4 in length, plus the encoder's own error.
_UNIT_TOLERANCE = 2e-3
_SHOWN = 3
# How often a check that found something is made anew where others have written meanwhile.
_ATTEMPTS = 3


def verify(database: Database, space: CurrentSpace, deep: bool = False) -> Verification:
    """Read every row, shard and vector of the active space, and list what does not fit; with `deep`, compare
    the files of all shards with their checksums, and the snapshot on disk with the shards.

    Nothing is changed. What another process replaces meanwhile is looked at again.
    """
    for _ in range(_ATTEMPTS):
        before = _version(database)
        found = space.settled(lambda: _verified_once(database, space, deep))
        if found.ok or _version(database) == before:
            break
    return found


def _version(database: Database) -> int:
    with database.read() as connection:
        version: int = connection.execute(select(home.c.version)).scalar_one()
        return version


def _verified_once(database: Database, space: CurrentSpace, deep: bool) -> Verification:
    active = space.find()
    found = _compared(database, space, active)
    if unfound := full_text_problems(database):
        found = replace(found, ok=False, problems=(*found.problems, *unfound))
    if not deep:
        return found
    with database.read() as connection:
        files = listed(connection)
    further = deep_check(database, active, space.chosen, files)
    problems = (*found.problems, *further.problems)
    return replace(
        found,
        ok=not problems,
        problems=problems,
        checksums=further.checksums,
        without_checksum=further.without_checksum,
        snapshot=further.snapshot,
    )


def _compared(database: Database, space: CurrentSpace, active: ActiveSpace | None) -> Verification:
    """What rows, shards and the loaded vectors say of each other."""
    if active is None:
        with database.read() as connection:
            problems = _orphans(connection)
        return Verification(not problems, tuple(problems), 0, 0, 0)
    loaded: LoadedSpace | None = None
    # Before the state is made: what is written after it is told later, so that a busy home may be right.
    wrong = _told(space)
    try:
        loaded = space.load()
    except CatalogError as error:
        if error.code not in ("missing-shard", "newer-shard", "corrupt-shard"):
            raise
    return _verify(database, active, loaded, wrong)


def _told(space: CurrentSpace) -> list[str]:
    """Tell an engine what waits; what is wrong with it, if it is not the home's."""
    if space.engine is not None:
        try:
            space.engine.catch_up()
        except CatalogError as error:
            if error.code != "wrong-engine":
                raise
            return [str(error)]
    return []


def _verify(
    database: Database, active: ActiveSpace, loaded: LoadedSpace | None, wrong: list[str]
) -> Verification:
    with database.read() as connection:
        problems = _orphans(connection)
        image_count = count_rows(connection, images, images.c.space_id == active.row_id)
        seen: list[Ids] = []
        for shard in listed(connection):
            if shard.space_id == active.row_id:
                found, ids = _check_shard(connection, database, shard, active.space.dimension, loaded)
                problems += found
                seen.append(ids)
    held = np.concatenate([*seen, np.empty(0, np.int64)])
    doubles = len(held) - len(np.unique(held))
    if doubles:
        problems.append(f"{doubles} vectors are stored twice; restore vectors/ from a backup.")
    problems += _check_faiss(loaded, held)
    problems += wrong
    if loaded is not None and not problems:
        problems += [one for level in LEVELS for one in _check_engine(loaded, level)]
    return Verification(
        not problems, tuple(problems), image_count, len(held), len(loaded.index.ids) if loaded else 0
    )


def _check_shard(
    connection: Connection, database: Database, shard: Any, dimension: int, loaded: LoadedSpace | None
) -> tuple[list[str], Ids]:
    statement = select(images.c.id).where(images.c.shard_id == shard.id)
    named = np.fromiter(connection.execute(statement).scalars(), np.int64)
    folder = ShardFolder(database.objects, shard.space)
    path = folder.place(shard.name)
    try:
        held = folder.open(shard.name)
    except CatalogError as error:
        uids = _studies_of(connection, shard.id)
        return [f"{error} Images without vector: {len(named)}, of the studies {uids}."], np.empty(0, np.int64)
    problems = []
    ids, vectors = held.ids, held.values
    if len(ids) != shard.rows or vectors.shape[1] != dimension or vectors.dtype != shard.dtype:
        problems.append(
            f"{path} holds {vectors.shape[0]} vectors of {vectors.shape[1]} values as {vectors.dtype}, where "
            f"{shard.rows} of {dimension} as {shard.dtype} are on record; restore it from a backup."
        )
    wrong = ids[~(np.abs(held.lengths() - 1) <= _UNIT_TOLERANCE)]
    if len(wrong):
        problems.append(
            f"{path}: not of unit length are the vectors of {_some(wrong)}; restore it from a backup."
        )
    missing, extra = np.setdiff1d(named, ids), np.setdiff1d(ids, named)
    if len(missing):
        uids = _studies_of(connection, shard.id)
        problems.append(
            f"{path} lacks the vectors of {_some(missing)}; restore it from a backup, or forget the studies "
            f"{uids} and ingest them again."
        )
    if len(extra):
        problems.append(
            f"{path} holds vectors without an image: {_some(extra)}; restore catalog.db and "
            "vectors/ together."
        )
    if loaded is not None and vectors.shape[1] == dimension and held.is_finite():
        differing = differing_ids(held, loaded.index)
        if len(differing):
            problems.append(f"FAISS holds other vectors for {_some(differing)}; run `index rebuild`.")
    return problems, ids


def _check_faiss(loaded: LoadedSpace | None, held: Ids) -> list[str]:
    if loaded is None:
        return []
    problems = []
    missing, extra = np.setdiff1d(held, loaded.index.ids), np.setdiff1d(loaded.index.ids, held)
    if len(missing):
        problems.append(f"FAISS lacks {_some(missing)}; run `index rebuild`.")
    if len(extra) or len(loaded.index.ids) != len(np.unique(loaded.index.ids)):
        problems.append(f"FAISS holds what the shards do not: {_some(extra)}; run `index rebuild`.")
    return problems


def _check_engine(loaded: LoadedSpace, level: Level) -> list[str]:
    index = loaded.index if level == "image" else loaded.group_level(level)[0].index
    return engine_problems(index) if isinstance(index, EngineSearch) else []


def _orphans(connection: Connection) -> list[str]:
    """Rows whose owner does not exist, or differs between two ways to it."""
    problems = []
    owners: list[tuple[Table, str, Table]] = [
        (studies, "patient_id", patients),
        (series, "study_id", studies),
        (instances, "series_id", series),
        (images, "instance_id", instances),
        (images, "shard_id", shards),
        (files, "instance_id", instances),
        (thumbnails, "image_id", images),
    ]
    for table, column, owner in owners:
        there = select(owner.c.id).where(owner.c.id == table.c[column])
        count = count_rows(connection, table, table.c[column].is_not(None), ~there.exists())
        if count:
            problems.append(
                f"{count} rows of {table.name} have no {owner.name}; restore catalog.db from a backup."
            )
    crossed = connection.execute(
        select(func.count())
        .select_from(images.join(instances).join(series, images.c.series_id == series.c.id))
        .where((images.c.series_id != instances.c.series_id) | (images.c.study_id != series.c.study_id))
    ).scalar_one()
    if crossed:
        problems.append(f"{crossed} images stand in another series than their instance; restore catalog.db.")
    return problems


def _studies_of(connection: Connection, shard_id: int) -> str:
    statement = select(studies.c.study_instance_uid).join(images, images.c.study_id == studies.c.id)
    found = connection.execute(statement.where(images.c.shard_id == shard_id).distinct()).scalars()
    return ", ".join(sorted(found))


def _some(ids: Ids) -> str:
    shown = ", ".join(str(one) for one in ids[:_SHOWN].tolist())
    return f"{len(ids)} images ({shown}{', ...' if len(ids) > _SHOWN else ''})"
