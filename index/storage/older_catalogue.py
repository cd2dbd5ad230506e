"""Recovery with an older catalogue than the home's last one, such as one from a backup.

Image ids are never given twice in the life of an archive, so the vector of an image that the catalogue knows
is the same in whichever shard it is now. Every vector that the catalogue needs is searched in its own shards,
in those that it does not know, and in the trash; the rest of the home's files goes to the trash.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.identity import shard_files, unknown_shards
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.opening import open_catalogue
from medsiglip.index.catalogue.schema import home, images, shards, studies
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace
from medsiglip.index.records import Recovery
from medsiglip.index.storage import trash
from medsiglip.index.storage.maps.forgetting import map_files
from medsiglip.index.storage.shards import WriteTransaction, listed, write_transaction
from medsiglip.index.vectors import Ids, ShardFolder, StoredShard


def recover(
    home_folder: Path, *, database_url: str | None = None, objects: ObjectPlace = IN_THE_HOME
) -> Recovery:
    """Make a home fit its catalogue: the images that the catalogue knows can be searched again where their
    vectors still exist, and ids that were given after it was saved are not given again.

    Nothing is deleted: files that the catalogue does not know are in the trash afterwards. No other process
    may have the home open. Raises `CatalogError` `other-catalogue`, `no-archive`, and
    `no-recovery` for a home whose files lie in a bucket.
    """
    database = open_catalogue(home_folder, database_url, create=False, objects=objects)
    try:
        if database.objects.is_remote:
            raise CatalogError(
                "no-recovery",
                f"{database.objects.url} is a bucket, where nothing can be set aside yet; restore a backup "
                "into another place, or ingest again into a new archive.",
            )
        return _recover(database)
    finally:
        database.close()


def _recover(database: Database) -> Recovery:
    unknown = unknown_shards(database)
    with database.read() as connection:
        lost = [shard for shard in listed(connection) if not _file(database, shard).exists()]
    sources = [*unknown, *_in_trash(database.home)]
    found = 0
    with write_transaction(database) as transaction:
        for shard in lost:
            found += _gather(transaction, shard, sources)
        _raise_next_id(transaction.connection, _highest_id(database.home, unknown))
        engine = outbox.engine_of(transaction.connection)
        if engine is not None:  # it may hold what the catalogue does not know
            outbox.refill(transaction.connection, engine)
    # Previews are named after image ids, and a snapshot of FAISS may hold images that the catalogue lacks.
    derived = [database.home / name for name in ("previews", "faiss")]
    trash.move(database.home, [*unknown, *derived, *_unknown_maps(database)], trash.SET_ASIDE)
    left = [path for path in unknown if path.exists()]
    if left:
        raise CatalogError(
            "read-only-home",
            f"{len(left)} vector files, such as {left[0]}, cannot be moved to {trash.FOLDER}/ of the home; "
            "give this user the right to, and run this again.",
        )
    with database.read() as connection:
        missing = _without_vector(connection, database)
    return Recovery(found, len(unknown), len(missing), tuple(sorted(set(missing))))


def _unknown_maps(database: Database) -> list[Path]:
    """The files of maps that no row names: they may hold cases that the catalogue lacks."""
    with database.read() as connection:
        known = set(map_files(connection))
    return [
        path
        for path in sorted(database.home.glob("maps/*/*.parquet"))
        if str(path.relative_to(database.home)) not in known
    ]


def _gather(transaction: WriteTransaction, shard: Any, sources: Iterable[Path]) -> int:
    """Collect the vectors of a lost shard from the sources into a new shard; returns how many were found."""
    connection = transaction.connection
    statement = select(images.c.id).where(images.c.shard_id == shard.id)
    wanted = np.fromiter(connection.execute(statement).scalars(), np.int64)
    ids: list[Ids] = []
    vectors: list[NDArray[np.floating]] = []
    for source in sorted(sources, key=lambda path: path.stem != shard.name):
        if len(wanted) and source.parent.name == shard.space:
            held = _read(source)
            keep = np.isin(held.ids, wanted)
            if keep.any() and held.values.dtype == shard.dtype:
                ids.append(held.ids[keep])
                vectors.append(held.rewritten(keep))
                wanted = np.setdiff1d(wanted, held.ids)
    if not ids:
        return 0
    image_ids, values = np.concatenate(ids), np.concatenate(vectors)
    new = transaction.add_shard(shard.space_id, shard.space, image_ids, values, shard.dtype)
    found = one_of(images.c.id, image_ids.tolist())
    connection.execute(update(images).where(found).values(shard_id=new))
    if not len(wanted):
        connection.execute(delete(shards).where(shards.c.id == shard.id))
    return len(image_ids)


def _read(path: Path) -> StoredShard:
    """The content of a shard in any folder; nothing of one that cannot be read."""
    folder = ShardFolder(path.parent.parent.parent, path.parent.name)
    try:
        return folder.open(path.stem)
    except CatalogError:
        return StoredShard(np.empty(0, np.int64), np.empty((0, 0), np.float32), is_scaled=True)


def _highest_id(folder: Path, unknown: Iterable[Path]) -> int:
    """The highest image id that a preview or an unknown shard of the home has."""
    names = (path.name.partition(".")[0] for path in (folder / "previews").glob("*"))
    ids = [int(name) for name in names if name.isdecimal()]
    ids += [int(_read(path).ids.max(initial=0)) for path in unknown]
    return max(ids, default=0)


def _raise_next_id(connection: Connection, highest: int) -> None:
    above = update(home).where(home.c.next_id <= highest)
    connection.execute(above.values(next_id=highest + 1, newest_id=highest))


def _in_trash(folder: Path) -> list[Path]:
    # Ids of an interrupted write were given to other images later, so its vectors must not be used.
    return [path for path in trash.contents(folder, trash.SET_ASIDE) if path.suffix == ".parquet"]


def _file(database: Database, shard: Any) -> Path:
    return ShardFolder(database.objects, shard.space).file(shard.name)


def _without_vector(connection: Connection, database: Database) -> list[str]:
    """The study UID of each image whose shard is missing."""
    files = shard_files(database.home)
    gone = [shard.id for shard in listed(connection) if shard.name not in files]
    statement = select(studies.c.study_instance_uid).join(images, images.c.study_id == studies.c.id)
    return list(connection.execute(statement.where(one_of(images.c.shard_id, gone))).scalars())
