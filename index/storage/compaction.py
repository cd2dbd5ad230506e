"""Merging small shards."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import shards
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Compaction
from medsiglip.index.storage.shards import UNREADABLE, listed, merge, opened, write_transaction
from medsiglip.index.storage.sweeping import sweep
from medsiglip.index.vectors import ShardFolder

FULL_SHARD_ROWS = 65_536
"""Shards are merged up to about this many rows: 300 MB at 1152 values of float32."""


def compact(database: Database) -> Compaction:
    """Merge neighbouring small shards, one transaction for each new shard; old files are deleted after it.
    Readers that come too late for an old file find the new shard in the catalogue. Shards of earlier versions
    that stay get their checksum. A shard that is not what was written stays as it is, so that its vectors do
    not get a checksum that agrees with them.
    """
    with database.read() as connection:
        before = listed(connection)
    for every in _groups(before):
        group = [shard for shard in every if _is_whole(database, shard)]
        with write_transaction(database) as transaction:
            current = listed(transaction.connection, [shard.id for shard in group])
            if len(current) > 1:
                merge(transaction, current)
    sweep(database)
    _note_checksums(database)
    with database.read() as connection:
        return Compaction(len(before), len(listed(connection)))


def _is_whole(database: Database, shard: Any) -> bool:
    try:
        return opened(database.objects, shard)[1]  # this fetches a copy, too, before others have to wait
    except CatalogError as error:
        if error.code not in UNREADABLE:
            raise
        return True  # merging leaves what it cannot read


def _note_checksums(database: Database) -> None:
    """Compute the checksums that are not on record, of files that hold what the catalogue says."""
    with database.read() as connection:
        without = [shard for shard in listed(connection) if shard.checksum is None]
    found = {}
    for shard in without:
        folder = ShardFolder(database.objects, shard.space)
        try:
            held = folder.open(shard.name)
            if len(held.ids) == shard.rows and held.values.dtype == shard.dtype and held.is_finite():
                found[shard.id] = folder.checksum(shard.name)
        except CatalogError:  # `index verify` names it
            continue
    if found:
        with database.write_service_tables() as connection:
            for row_id, checksum in found.items():
                one = update(shards).where(shards.c.id == row_id, shards.c.checksum.is_(None))
                connection.execute(one.values(checksum=checksum))


def _groups(rows: list[Any]) -> list[list[Any]]:
    """Runs of two or more shards of one space and dtype that together are not too large."""
    kinds: dict[tuple[int, str], list[list[Any]]] = defaultdict(lambda: [[]])
    for shard in rows:
        runs = kinds[shard.space_id, shard.dtype]
        if sum(one.rows for one in runs[-1]) + shard.rows > FULL_SHARD_ROWS:
            runs.append([])
        runs[-1].append(shard)
    return [run for runs in kinds.values() for run in runs if len(run) > 1]
