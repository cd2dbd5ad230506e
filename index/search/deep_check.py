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
from medsiglip.index.search.kinds.bounded_file import is_whole
from medsiglip.index.search.kinds.index_kinds import ChosenKind
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.search.snapshots import Snapshot
from medsiglip.index.vectors import Ids, ShardFolder, StoredShard, unit_length

# How many vectors are compared at once.
_ROWS = 8192
# Means are of unit length; the order of their sums may differ.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """What was found: shards of which the checksum agrees, or is not on record, and how many vectors the
    snapshot holds.
    """

    problems: tuple[str, ...] = ()
    checksums: int = 0
    without_checksum: int = 0
    snapshot: int = 0


def deep_check(
    database: Database, active: ActiveSpace | None, chosen: ChosenKind | None, shards: Sequence[Any]
) -> DeepCheck:
    """Check the files of all spaces' shards, rows of `listed`, and the snapshot of the active space, which is
    of the `chosen` kind. Shards that cannot be read are left out: the ordinary check names them.
    """
    problems, agreeing, without = [], 0, 0
    for shard in shards:
        folder = ShardFolder(database.objects, shard.space)
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
                f"{folder.place(shard.name)} is not what was written (its checksum is {found}, on record is "
                f"{shard.checksum}); restore it from a backup."
            )
    held = 0
    if active is not None and chosen is not None:
        theirs = [shard for shard in shards if shard.space_id == active.row_id]
        held, wrong = _check_snapshot(database, active, chosen, theirs)
        problems += wrong
    return DeepCheck(tuple(problems), agreeing, without, held)


def _check_snapshot(
    database: Database, active: ActiveSpace, chosen: ChosenKind, shards: Sequence[Any]
) -> tuple[int, list[str]]:
    """How many vectors the snapshot on disk holds, and how it differs from the shards that it names."""
    snapshot = Snapshot(database.home, active.space.name, chosen.kind)
    names = snapshot.shards()
    if names is None or not names <= {shard.name for shard in shards}:
        return 0, []  # the next start would not use it
    content = snapshot.load(active.space.dimension)
    if content is None:
        return 0, []
    wrong = _damaged(snapshot, chosen)
    folder = ShardFolder(database.objects, active.space.name)
    seen: list[Ids] = [np.empty(0, np.int64)]
    differing = 0
    for name in sorted(names):
        try:
            held = folder.open(name)
        except CatalogError:
            continue
        seen.append(held.ids)
        if held.values.shape[1] == active.space.dimension:
            differing += len(differing_ids(held, content.index))
    extra = np.setdiff1d(content.index.ids, np.concatenate(seen))
    if differing:
        wrong.append(f"The snapshot holds other vectors for {differing} images; run `index rebuild`.")
    if len(extra):
        wrong.append(f"The snapshot holds {len(extra)} vectors that no shard has; run `index rebuild`.")
    for level, held_level in content.levels.items():
        count = _wrong_means(content.index, content.owners.level(level), held_level.index)
        if count:
            wrong.append(f"The snapshot holds wrong means for {count} of level {level}; run `index rebuild`.")
    return len(content.index.ids), wrong


def _damaged(snapshot: Snapshot, chosen: ChosenKind) -> list[str]:
    """Files whose parts, codes and axes included, do not have the checksums that were written with them."""
    if chosen.name == "flat":
        return []  # FAISS's own file has none
    try:
        damaged = [path for path in snapshot.index_files() if not is_whole(path)]
    except OSError:
        return []  # another process has replaced it
    return [f"{path} is not what was written; run `index rebuild`." for path in damaged]


def _wrong_means(images: VectorSearch, owners: Ids, means: VectorSearch) -> int:
    """How many of the means of groups are not those of their images' vectors."""
    order = np.argsort(owners, kind="stable")
    groups, starts = np.unique(owners[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    wrong, begin = int(len(np.setdiff1d(means.ids, groups)) + len(np.setdiff1d(groups, means.ids))), 0
    if wrong:
        return wrong
    while begin < len(groups):
        end = max(begin + 1, int(np.searchsorted(ends, starts[begin] + _ROWS, side="right")))
        some = images.rows(images.ids[order[starts[begin] : ends[end - 1]]])
        sums = np.add.reduceat(some, starts[begin:end] - starts[begin], axis=0, dtype=np.float64)
        apart = np.abs(unit_length(sums.astype(np.float32)) - means.rows(groups[begin:end])).max(axis=1)
        wrong += int((apart > _ROUNDING).sum())
        begin = end
    return wrong


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
