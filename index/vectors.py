"""Vectors at rest: Parquet shards `vectors/<space>/<name>.parquet`, written once and never changed.

Columns: `image_id` int64, `embedding` fixed-size list of float16 or float32. A shard holds exactly the
vectors of the images that name it; taking one out means writing another shard. The metadata of the schema
holds the `space`, and the version of this `format`, absent for 1.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.errors import CatalogError

FORMAT = 1
"""The version of the format; a later one is refused, for its vectors may mean something else."""

Dtype = Literal["float16", "float32"]
Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class ShardFolder:
    """The shards of one space."""

    def __init__(self, home: Path, space: str) -> None:
        self.home = home
        self.path = home / "vectors" / space
        self.space = space

    def file(self, name: str) -> Path:
        """The path of the shard of this name."""
        return self.path / f"{name}.parquet"

    def write(self, name: str, image_ids: Ids, vectors: NDArray[np.floating], dtype: Dtype) -> None:
        """Write [n] int64 ids and [n, d] vectors as a new shard; it is on disk when this returns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = np.ascontiguousarray(vectors, dtype=dtype)
        flat = pa.array(values.reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(flat, list_size=values.shape[1])
        table = pa.table({"image_id": pa.array(image_ids, pa.int64()), "embedding": embedding})
        table = table.replace_schema_metadata({"space": self.space, "format": str(FORMAT)})
        make_folder(self.path)
        with atomic_file(self.file(name)) as stream:
            # Normalised embeddings do not compress, and no query filters by a component.
            pq.write_table(table, stream, compression="none", use_dictionary=False, write_statistics=False)

    def read(self, name: str, dimension: int) -> tuple[Ids, Vectors]:
        """Ids [n] int64 and vectors [n, dimension] float32, scaled to unit length again after float16.

        Raises `CatalogError` `missing-shard`, `newer-shard` or `corrupt-shard`.
        """
        image_ids, stored = self.read_stored(name)
        if stored.shape[1] != dimension or not np.isfinite(stored).all():
            raise self._corrupt(name, f"it should hold {dimension} finite values for each image")
        return image_ids, unit_length(stored.astype(np.float32))

    def read_stored(self, name: str) -> tuple[Ids, NDArray[np.floating]]:
        """Ids, and vectors exactly as stored; raises the same errors."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.file(name), memory_map=True).combine_chunks()
            self._require_known(name, (table.schema.metadata or {}).get(b"format", b"1"))
            image_ids = table["image_id"].to_numpy()
            column = table["embedding"].chunk(0) if table.num_rows else None
            width = table.schema.field("embedding").type.list_size
            if column is None:
                return image_ids, np.empty((0, width), np.float32)
            return image_ids, column.flatten().to_numpy().reshape(-1, width)
        except FileNotFoundError:
            raise CatalogError(
                "missing-shard",
                f"The vector file {self.file(name)} is gone; restore it from a backup, or forget the studies "
                "that `index verify` names and ingest them again.",
            ) from None
        except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
            raise self._corrupt(name, error) from error

    def _require_known(self, name: str, version: bytes) -> None:
        if not version.isdigit():
            raise self._corrupt(name, "its format has no number")
        if int(version[:9]) > FORMAT:
            raise CatalogError(
                "newer-shard",
                f"A newer version of this program wrote the vector file {self.file(name)} (format "
                f"{int(version[:9])}, this version reads up to {FORMAT}); update the program.",
            )

    def _corrupt(self, name: str, why: object) -> CatalogError:
        return CatalogError(
            "corrupt-shard",
            f"The vector file {self.file(name)} cannot be read ({why}); restore it from a backup, or forget "
            "the studies that `index verify` names and ingest them again.",
        )

    def discard(self, name: str) -> None:
        """Delete a shard that no row refers to."""
        self.file(name).unlink(missing_ok=True)


def unit_length(vectors: Vectors) -> Vectors:
    """Rows of float32 [n, d] scaled to length 1; rows of zeros stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    norms[norms == 0] = 1
    return np.asarray(vectors / norms[:, None], dtype=np.float32)


def mean_directions(groups: Iterable[Vectors]) -> Vectors:
    """The mean of each group of vectors, scaled to length 1: float32 [g, d] of g groups of float32 [m, d]."""
    return unit_length(np.array([group.mean(axis=0, dtype=np.float64) for group in groups], np.float32))


def make_folder(path: Path) -> None:
    """Create a folder and its parents, for this user only, and make their names durable."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable: a rename is on disk only once its folder is
    synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """A stream whose content appears at `target` complete and synced, or not at all.

    A killed process leaves a file `<target>.<random>.tmp`, which a glob on the target finds.
    """
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        sync_path(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
