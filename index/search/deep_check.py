"""Reading every byte that a home keeps of its vectors: shards against their checksums, and the snapshot that
the next start would map against the shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.checksums import is_known
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.search.snapshots import Snapshot
from medsiglip.index.vectors import Ids, ShardFolder, StoredShard

# How many vectors are compared at once.
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """What was found: shards of which the checksum agrees, or is not on record, and how many vectors the
    snapshot holds.
    """

    problems: tuple[str, ...] = ()
    checksums: int = 0
    without_checksum: int = 0
    snapshot: int = 0


def deep_check(database: Database, active: ActiveSpace | None, shards: Sequence[Any]) -> DeepCheck:
    """Check the files of all spaces' shards, rows of `listed`, and the snapshot of the active space. Shards
    that cannot be read are left out: the ordinary check names them.
    """
    problems, agreeing, without = [], 0, 0
    for shard in shards:
        folder = ShardFolder(database.home, shard.space)
        if shard.checksum is None or not is_known(shard.checksum):
            without += 1
            continue
        try:
            found = folder.checksum(shard.name)
        except CatalogError as error:
            if active is None or shard.space_id != active.row_id:
                problems.append(str(error))
            continue
        if found == shard.checksum:
            agreeing += 1
        else:
            problems.append(
                f"{folder.file(shard.name)} is not what was written (its checksum is {found}, on record is "
                f"{shard.checksum}); restore it from a backup."
            )
    held = 0
    if active is not None:
        theirs = [shard for shard in shards if shard.space_id == active.row_id]
        held, wrong = _check_snapshot(database, active, theirs)
        problems += wrong
    return DeepCheck(tuple(problems), agreeing, without, held)


def _check_snapshot(database: Database, active: ActiveSpace, shards: Sequence[Any]) -> tuple[int, list[str]]:
    """How many vectors the snapshot on disk holds, and how it differs from the shards that it names."""
    snapshot = Snapshot(database.home, active.space.name, DEFAULT)
    names = snapshot.shards()
    by_name = {shard.name: shard for shard in shards}
    if names is None or not names <= by_name.keys():
        return 0, []  # the next start would not use it
    index = snapshot.load(active.space.dimension)
    if index is None:
        return 0, []
    folder = ShardFolder(database.home, active.space.name)
    seen: list[Ids] = []
    differing = 0
    for name in sorted(names):
        try:
            held = folder.open(name)
        except CatalogError:
            continue
        seen.append(held.ids)
        if held.values.shape[1] == active.space.dimension:
            differing += len(differing_ids(held, index))
    extra = np.setdiff1d(index.ids, np.concatenate([*seen, np.empty(0, np.int64)]))
    wrong = []
    if differing:
        wrong.append(f"The snapshot holds other vectors for {differing} images; run `index rebuild`.")
    if len(extra):
        wrong.append(f"The snapshot holds {len(extra)} vectors that no shard has; run `index rebuild`.")
    return len(index.ids), wrong


def differing_ids(shard: StoredShard, index: VectorSearch) -> Ids:
    """The ids of a shard that an index holds with other vectors, compared bit by bit; ids that it lacks are
    left out.
    """
    found = [np.empty(0, np.int64)]
    places = np.flatnonzero(np.isin(shard.ids, index.ids))
    for low in range(0, len(places), _ROWS):
        few = places[low : low + _ROWS]
        differs = (index.rows(shard.ids[few]) != shard.vectors(few)).any(axis=1)
        found.append(shard.ids[few[differs]])
    return np.concatenate(found)
