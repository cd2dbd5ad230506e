"""Merging small shards, and collecting files that nothing names."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import Any

from sqlalchemy import select

from index._database import Database
from index._shards import listed, merge, writing
from index.deletion import sweep
from index.records import Compaction
from index.schema import probes, spaces
from index.vectors import ShardFolder, older_files

FULL_SHARD_ROWS = 65_536
"""Shards are merged up to about this many rows: 300 MB at 1152 values of float32."""


def compact(database: Database) -> Compaction:
    """Merge neighbouring small shards, one transaction for each new shard; old files go after its commit."""
    with database.read() as connection:
        before = listed(connection)
    for group in _groups(before):
        with writing(database) as transaction:
            current = listed(transaction.connection, [shard.id for shard in group])
            if len(current) > 1:
                merge(transaction, current)
    sweep(database)
    with database.read() as connection:
        return Compaction(len(before), len(listed(connection)))


def _groups(rows: list[Any]) -> list[list[Any]]:
    """Runs of two or more shards of one space and dtype that together are not too large."""
    kinds: dict[tuple[int, str], list[list[Any]]] = defaultdict(lambda: [[]])
    for shard in rows:
        runs = kinds[shard.space_id, shard.dtype]
        if sum(one.rows for one in runs[-1]) + shard.rows > FULL_SHARD_ROWS:
            runs.append([])
        runs[-1].append(shard)
    return [run for runs in kinds.values() for run in runs if len(run) > 1]


def collect_garbage(database: Database) -> None:
    """Delete files of shards and probes that no row names and nobody has touched for a day."""
    with database.read() as connection:
        names = connection.execute(select(spaces.c.name)).scalars()
        folders = [*(ShardFolder(database.home, name).path for name in names), database.home / "probes"]
    # The files are listed before the rows: a file named in between is not taken for garbage.
    found = [path for folder in folders for path in older_files(folder)]
    if not found:
        return
    with database.read() as connection:
        named = {ShardFolder(database.home, shard.space).file(shard.name) for shard in listed(connection)}
        named |= {database.home / file for file in connection.execute(select(probes.c.file)).scalars()}
    for path in found:
        if path not in named:
            with suppress(OSError):
                path.unlink()
