"""Write transactions that add and replace shards and maps: a file is on disk before its row is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import NewIds, claim_block, insert_rows
from medsiglip.index.catalogue.schema import doomed_files, images, shards, spaces
from medsiglip.index.checksums import checksum_of, checksum_of_file, is_known
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.storage import crash_recovery
from medsiglip.index.storage.sweeping import note_remaining
from medsiglip.index.vectors import Dtype, Ids, ShardFolder, StoredShard

UNREADABLE = frozenset({"missing-shard", "corrupt-shard", "newer-shard"})
"""Codes of a shard that no later try can read. Any other error says nothing about the shard: whoever goes on
without it would report as done what was not.
"""


class NamedFiles(Protocol):
    """A folder whose files have names, `<folder>/<space>/<name>.<ending>` of the home."""

    def discard(self, name: str) -> list[str]:
        """Delete a file that no row refers to; returns the objects of which versions remain."""


class OvertakenError(Exception):
    """Another writer has committed rows with higher ids than those that were reserved for a transaction."""


class WrittenShard(NamedTuple):
    """A shard that is on disk, and that no row names yet."""

    name: str
    rows: int
    dtype: Dtype
    checksum: str


@dataclass(frozen=True, slots=True)
class NewFiles:
    """The files that a write transaction puts on disk, announced before they are written, and a `block` of
    ids that was reserved together with that.
    """

    objects: ObjectStore
    token: str
    block: range = range(0)
    written: list[tuple[NamedFiles, str]] = field(default_factory=list)

    def new_name(self, folder: NamedFiles) -> str:
        """The name of a file that is about to be written, and is deleted if the transaction fails."""
        name = f"{self.token}-{len(self.written)}"
        self.written.append((folder, name))
        return name

    def write_shard(
        self, space: str, image_ids: Ids, vectors: NDArray[np.floating], dtype: Dtype
    ) -> WrittenShard:
        """Write a shard to disk; its row is inserted later."""
        folder = ShardFolder(self.objects, space)
        name = self.new_name(folder)
        checksum = folder.write(name, image_ids, vectors, dtype)
        return WrittenShard(name, len(image_ids), dtype, checksum)


@dataclass(frozen=True, slots=True)
class WriteTransaction:
    """A write transaction on the catalogue, and the files that it has put on disk so far: shards and maps.
    `ids` are those of its block, if it has one.
    """

    connection: Connection
    files: NewFiles
    ids: NewIds = field(default_factory=NewIds)

    @property
    def objects(self) -> ObjectStore:
        """Where the files lie."""
        return self.files.objects

    def new_name(self, folder: NamedFiles) -> str:
        """The name of a file that is about to be written, and is deleted if the transaction fails."""
        return self.files.new_name(folder)

    def add_shard(
        self, space_id: int, space: str, image_ids: Ids, vectors: NDArray[np.floating], dtype: Dtype
    ) -> int:
        """Write a shard to disk, then insert its row; returns the row's id."""
        return self.insert_shard(space_id, self.files.write_shard(space, image_ids, vectors, dtype))

    def insert_shard(self, space_id: int, shard: WrittenShard) -> int:
        """Insert the row of a shard that is on disk; returns its id."""
        [row_id] = self.ids.take(self.connection, 1)
        self.connection.execute(insert(shards).values(id=row_id, space_id=space_id, **shard._asdict()))
        return row_id

    def delete_files(self, patterns: Sequence[str]) -> None:
        """List files, as globs relative to the home, for deletion after the commit."""
        if patterns:
            since = now_of(self.connection)
            rows = [{"pattern": pattern, "since": since} for pattern in patterns]
            insert_rows(self.connection, doomed_files, rows)


@contextmanager
def write_transaction(database: Database) -> Iterator[WriteTransaction]:
    """A write transaction; if it fails, the files that it wrote are deleted."""
    with new_files(database) as files, commit_files(database, files) as transaction:
        yield transaction


@contextmanager
def new_files(database: Database, ids: int = 0) -> Iterator[NewFiles]:
    """Files that are written before the transaction that names them (`commit_files`), while nothing is
    locked, and a block of so many `ids`. If this fails, they are deleted.
    """
    token, block = crash_recovery.announce_with_ids(database, "*/*/{token}-*", ids)
    files = NewFiles(database.objects, token, block)
    try:
        with database.translate_errors():
            yield files
    except BaseException:
        with suppress(CatalogError, OSError):
            _take_back(database, files)
        raise


@contextmanager
def commit_files(database: Database, files: NewFiles) -> Iterator[WriteTransaction]:
    """The write transaction that names new files, and gives the ids of their block to rows.

    Raises `OvertakenError` where another writer has meanwhile committed rows with higher ids.
    """
    with database.write() as connection:
        if not claim_block(connection, files.block):
            raise OvertakenError
        yield WriteTransaction(connection, files, NewIds(files.block))
        crash_recovery.finish(connection, files.token)


def _take_back(database: Database, files: NewFiles) -> None:
    """Delete the files of a failed transaction. A commit may succeed and still be reported as failed (the
    connection to the server was lost): then its announcement is gone, and the files stay. Deleting that
    first waits for a commit that the server is still at.
    """
    remain: list[str] = []
    with database.write_service_tables() as connection:
        if crash_recovery.finish(connection, files.token):
            for folder, name in files.written:
                remain += folder.discard(name)
    note_remaining(database, remain)


def listed(connection: Connection, shard_ids: Sequence[int] | None = None) -> list[Any]:
    """Rows `id, name, rows, dtype, space_id, checksum, space` of these shards, or of all, by id."""
    statement = select(
        shards.c.id,
        shards.c.name,
        shards.c.rows,
        shards.c.dtype,
        shards.c.space_id,
        shards.c.checksum,
        spaces.c.name.label("space"),
    ).join(spaces, shards.c.space_id == spaces.c.id)
    statement = statement.order_by(shards.c.id)
    if shard_ids is not None:
        statement = statement.where(one_of(shards.c.id, shard_ids))
    return list(connection.execute(statement))


def opened(objects: ObjectStore, shard: Any) -> tuple[StoredShard, bool]:
    """A shard, a row of `listed`, and whether what is read has the checksum on record, if there is one of a
    known algorithm. Of an object in a bucket, a copy that has not, or cannot be read, is fetched anew.

    Raises the errors of `ShardFolder.open`.
    """
    folder = ShardFolder(objects, shard.space)
    try:
        held = folder.open(shard.name)
        whole = _is_whole(objects, shard, held)
        if whole or not objects.is_remote:
            return held, whole
    except CatalogError as error:
        if not objects.is_remote or error.code not in UNREADABLE:
            raise
    objects.drop_copies([folder.object_name(shard.name)])
    held = folder.open(shard.name)
    return held, _is_whole(objects, shard, held)


def _is_whole(objects: ObjectStore, shard: Any, held: StoredShard) -> bool:
    if shard.checksum is None or not is_known(shard.checksum):
        return True
    if held.file is None:
        name = ShardFolder(objects, shard.space).object_name(shard.name)
        return bool(checksum_of_file(objects.open_local(name)) == shard.checksum)
    with memoryview(held.file) as content:
        found = checksum_of([content])
    held.let_go()
    return bool(found == shard.checksum)


def replace_shard(transaction: WriteTransaction, old: Any) -> None:
    """Replace a shard by one with the vectors that still have an image, or by none. Where it was not what had
    been written, the checksum that says so is kept, for what is left of it may be damaged.
    """
    merge(transaction, [old])


def merge(transaction: WriteTransaction, old: Sequence[Any]) -> None:
    """Replace shards of one space and dtype by one shard with the vectors that still have an image, or by
    none.

    A shard that cannot be read stays while an image refers to it, and so does one of several that is not what
    had been written. Raises `CatalogError` where it is not known whether it can be read, such as
    `object-store-unreachable`.
    """
    connection = transaction.connection
    kept_ids, kept_vectors, replaced, damaged = [], [], [], []
    for shard in old:
        live = np.fromiter(
            connection.execute(select(images.c.id).where(images.c.shard_id == shard.id)).scalars(), np.int64
        )
        if len(live):
            try:
                held, whole = opened(transaction.objects, shard)
            except CatalogError as error:
                if error.code not in UNREADABLE:
                    raise
                continue
            if not whole:
                if len(old) > 1:
                    continue
                damaged.append(shard.checksum)
            keep = np.isin(held.ids, live)
            kept_ids.append(held.ids[keep])
            kept_vectors.append(held.rewritten(keep))
        replaced.append(shard)
    theirs = [shard.id for shard in replaced]
    if kept_ids:
        image_ids, vectors = np.concatenate(kept_ids), np.concatenate(kept_vectors)
        order = np.argsort(image_ids, kind="stable")
        first = old[0]
        new = transaction.add_shard(
            first.space_id, first.space, image_ids[order], vectors[order], first.dtype
        )
        for checksum in damaged:
            connection.execute(update(shards).where(shards.c.id == new).values(checksum=checksum))
        connection.execute(update(images).where(one_of(images.c.shard_id, theirs)).values(shard_id=new))
    if replaced:
        connection.execute(delete(shards).where(one_of(shards.c.id, theirs)))
        transaction.delete_files([f"vectors/{shard.space}/{shard.name}.parquet" for shard in replaced])
