"""Vectors at rest: Parquet shards, objects `vectors/<space>/<name>.parquet`, written once and never changed.

Columns: `image_id` int64, `embedding` fixed-size list of float16 or float32. A shard holds exactly the
vectors of the images that name it; taking one out means writing another shard. The metadata of the schema
holds the `space`, the version of this `format`, absent for 1, and whether vectors of float32 were `scaled` to
unit length before they were stored.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.durable_files import atomic_file as atomic_file
from medsiglip.index.durable_files import make_folder as make_folder
from medsiglip.index.durable_files import sync_path as sync_path
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.folder_store import FolderStore
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.shard_file import let_go, map_shard, shard_parts

FORMAT = 1
"""The version of the format; a later one is refused, for its vectors may mean something else."""

Dtype = Literal["float16", "float32"]
Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
_ALL = slice(None)
_ROWS_AT_ONCE = 1024
# After so many rows, what was mapped of them does not stay in memory.
_ROWS_MAPPED = 16 * _ROWS_AT_ONCE
_SCALED = b"scaled"


class StoredShard(NamedTuple):
    """A shard as stored: `ids` [n], `values` [n, d] of float16 or float32, both read only and perhaps mapped
    from the file.

    `is_scaled` says that the values are those that searches use. Shards of earlier versions, and those of
    float16, are scaled to unit length whenever they are read.
    """

    ids: Ids
    values: NDArray[np.floating]
    is_scaled: bool
    file: mmap.mmap | None = None

    def vectors(self, rows: slice | NDArray[np.integer[Any]] | NDArray[np.bool_] = _ALL) -> Vectors:
        """The vectors that searches use, of all rows or of some, float32 [m, d] of unit length; read only
        where they are the stored ones.
        """
        chosen = self.values[rows]
        return np.asarray(chosen, np.float32) if self.is_scaled else unit_length(chosen.astype(np.float32))

    def rewritten(self, keep: NDArray[np.bool_]) -> NDArray[np.floating]:
        """The rows `keep`, bool [n], as another shard stores them so that searches see no difference."""
        return self.vectors(keep) if self.values.dtype == np.float32 else self.values[keep]

    def lengths(self) -> NDArray[np.float64]:
        """The length of each stored vector, float64 [n]."""
        found = np.empty(len(self.values))
        for low, few in self._parts():
            found[low : low + len(few)] = np.linalg.norm(few.astype(np.float64), axis=1)
        return found

    def is_finite(self) -> bool:
        """Whether no value is infinite or not a number, without a copy of them all."""
        for _, few in self._parts():
            flat = few.reshape(-1).astype(np.float32, copy=False)
            if not np.isfinite(np.dot(flat, flat)):  # many times as fast as a look at each
                return False
        return True

    def _parts(self) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """All values, some rows at a time, with the number of the first."""
        for low in range(0, len(self.values), _ROWS_AT_ONCE):
            yield low, self.values[low : low + _ROWS_AT_ONCE]
            if (low + _ROWS_AT_ONCE) % _ROWS_MAPPED == 0:
                self.let_go()
        self.let_go()

    def let_go(self) -> None:
        """Take what was mapped so far out of the memory of this process; it can still be read."""
        if self.file is not None:
            let_go(self.file)


class ShardFolder:
    """The shards of one space, in an object store or, given a path, in the home there."""

    def __init__(self, objects: ObjectStore | Path, space: str) -> None:
        self._objects = FolderStore(objects) if isinstance(objects, Path) else objects
        self.space = space

    def object_name(self, name: str) -> str:
        """The name of a shard as an object."""
        return f"vectors/{self.space}/{name}.parquet"

    def file(self, name: str) -> Path:
        """The path of the shard of this name, in a bucket's case of the copy of it, if there is one."""
        return self._objects.copy_path(self.object_name(name))

    def place(self, name: str) -> str:
        """Where a shard lies, as messages show it."""
        return self._objects.place(self.object_name(name))

    def write(self, name: str, image_ids: Ids, vectors: NDArray[np.floating], dtype: Dtype) -> str:
        """Write [n] int64 ids and [n, d] vectors of unit length as a new shard, which is on disk when this
        returns; returns its checksum. Vectors of float32 are stored, and read, bit by bit as they are.
        """
        values = np.ascontiguousarray(vectors, dtype=dtype)
        metadata = {"space": self.space, "format": str(FORMAT)}
        if dtype == "float32":
            metadata[_SCALED.decode()] = "1"
        parts = list(shard_parts(np.ascontiguousarray(image_ids, np.int64), values, metadata))
        return self._objects.put_new(self.object_name(name), parts)

    def checksum(self, name: str) -> str:
        """The checksum of a shard where it is stored; raises `CatalogError` `missing-shard` or
        `corrupt-shard`.
        """
        with self._errors_named(name):
            return self._objects.checksum(self.object_name(name))

    def read(self, name: str, dimension: int) -> tuple[Ids, Vectors]:
        """Ids [n] int64 and vectors [n, dimension] float32, as `StoredShard.vectors` gives them.

        Raises `CatalogError` `missing-shard`, `newer-shard` or `corrupt-shard`.
        """
        shard = self.checked(name, dimension)
        return shard.ids, shard.vectors()

    def checked(self, name: str, dimension: int) -> StoredShard:
        """A shard of which all values were looked at; raises the same errors as `read`."""
        return self._past_damaged_copies(name, lambda: self._checked(name, dimension))

    def _checked(self, name: str, dimension: int) -> StoredShard:
        shard = self._opened(name)
        if shard.values.shape[1] != dimension or not shard.is_finite():
            raise self._corrupt(name, f"it should hold {dimension} finite values for each image")
        return shard

    def _past_damaged_copies(self, name: str, opened: Callable[[], StoredShard]) -> StoredShard:
        """A shard; where the copy here of one in a bucket is corrupt, it is fetched once more."""
        try:
            return opened()
        except CatalogError as error:
            is_copy = self._objects.is_remote and self.file(name).is_file()
            if error.code != "corrupt-shard" or not is_copy:
                raise
        with self._errors_named(name):
            self._objects.drop_copies([self.object_name(name)])
        return opened()

    def open(self, name: str) -> StoredShard:
        """A shard exactly as stored; raises the same errors.

        The arrays are mapped from the file where possible: a shard that is deleted stays readable, and one
        that somebody cuts short meanwhile would end the process, so nobody writes to a shard.
        """
        return self._past_damaged_copies(name, lambda: self._opened(name))

    def _opened(self, name: str) -> StoredShard:
        import pyarrow.parquet as pq

        with self._errors_named(name):
            path = self._objects.open_local(self.object_name(name))
            described = pq.read_metadata(path)
            metadata = described.metadata or {}
            self._require_known(name, metadata.get(b"format", b"1"))
            mapped = map_shard(path, described)
            ids, values = _decoded(path) if mapped is None else mapped[:2]
            is_scaled = _SCALED in metadata and values.dtype == np.float32
            return StoredShard(ids, values, is_scaled, None if mapped is None else mapped.file)

    def _require_known(self, name: str, version: bytes) -> None:
        if not version.isdigit():
            raise self._corrupt(name, "its format has no number")
        if int(version[:9]) > FORMAT:
            raise CatalogError(
                "newer-shard",
                f"A newer version of this program wrote the vector file {self.place(name)} (format "
                f"{int(version[:9])}, this version reads up to {FORMAT}); update the program.",
            )

    def _corrupt(self, name: str, why: object) -> CatalogError:
        return CatalogError(
            "corrupt-shard",
            f"The vector file {self.place(name)} cannot be read ({why}); restore it from a backup, or "
            "forget the studies that `index verify` names and ingest them again.",
        )

    @contextmanager
    def _errors_named(self, name: str) -> Iterator[None]:
        """Turn what reading a shard may raise into a sentence with a cure."""
        import pyarrow as pa

        try:
            yield
        except FileNotFoundError:
            raise CatalogError(
                "missing-shard",
                f"The vector file {self.place(name)} is gone; restore it from a backup, or forget the "
                "studies that `index verify` names and ingest them again.",
            ) from None
        except (pa.ArrowException, OSError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise self._corrupt(name, error) from error

    def discard(self, name: str) -> list[str]:
        """Delete a shard that no row refers to; returns the objects of which versions remain."""
        return self._objects.delete([self.object_name(name)])


def _decoded(path: Path) -> tuple[Ids, NDArray[np.floating]]:
    """Ids and values of a shard that another program, or an earlier version, wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, memory_map=True).combine_chunks()
    image_ids = table["image_id"].to_numpy()
    column = table["embedding"].chunk(0) if table.num_rows else None
    kind = table.schema.field("embedding").type
    if column is None:
        return image_ids, np.empty((0, kind.list_size), kind.value_type.to_pandas_dtype())
    return image_ids, column.flatten().to_numpy().reshape(-1, kind.list_size)


def unit_length(vectors: Vectors) -> Vectors:
    """Rows of float32 [n, d] scaled to length 1; rows of zeros stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    norms[norms == 0] = 1
    return np.asarray(vectors / norms[:, None], dtype=np.float32)


def mean_directions(groups: Iterable[Vectors]) -> Vectors:
    """The mean of each group of vectors, scaled to length 1: float32 [g, d] of g groups of float32 [m, d]."""
    return unit_length(np.array([group.mean(axis=0, dtype=np.float64) for group in groups], np.float32))
