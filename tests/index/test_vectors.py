from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medsiglip.index.errors import CatalogError
from medsiglip.index.vectors import Dtype, ShardFolder, atomic_file, unit_length
from tests.index.index_cases import unit_vectors

IDS = np.array([5, 7, 2**40], np.int64)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_shard_is_plain_parquet_of_the_rounded_values(tmp_path: Path, dtype: Dtype) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(3)
    name = "0123-0"
    folder.write(name, IDS, vectors, dtype)
    table = pq.read_table(tmp_path / "vectors" / "space" / f"{name}.parquet")
    assert table["image_id"].to_pylist() == IDS.tolist()
    assert table["embedding"].to_pylist() == vectors.astype(dtype).astype(float).tolist()
    ids, stored, _ = folder.open(name)
    assert stored.dtype == dtype
    assert (ids == IDS).all()
    assert (stored == vectors.astype(dtype)).all()


def test_what_is_read_has_unit_length_again(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(50, dimension=1152)
    folder.write("0123-0", np.arange(50), vectors, "float16")
    _, read = folder.read("0123-0", 1152)
    assert read.dtype == np.float32
    assert np.abs(np.linalg.norm(read.astype(np.float64), axis=1) - 1).max() < 1e-7
    assert np.abs(read - vectors).max() < 1e-4


def test_zero_stays_zero() -> None:
    assert unit_length(np.array([[0, 0], [3, 4]], np.float32)).tolist() == [
        [0, 0],
        [np.float32(0.6), np.float32(0.8)],
    ]


def test_a_shard_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    name = "0123-0"
    folder.write(name, IDS, unit_vectors(3), "float16")
    path = folder.file(name)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"PAR1" + bytes(100) + b"PAR1"):
        path.write_bytes(damaged)
        with pytest.raises(CatalogError, match=name) as caught:
            folder.read(name, 16)
        assert caught.value.code == "corrupt-shard"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match="17 finite values"):
        folder.read(name, 17)
    path.unlink()
    with pytest.raises(CatalogError, match=name) as caught:
        folder.read(name, 16)
    assert caught.value.code == "missing-shard"


def test_a_shard_of_a_newer_version_is_refused_and_one_of_an_older_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = ShardFolder(tmp_path, "space")
    folder.write("0123-0", IDS, unit_vectors(3), "float32")
    path = folder.file("0123-0")
    table = pq.read_table(path)
    assert table.schema.metadata[b"format"] == b"1"
    pq.write_table(table.replace_schema_metadata({"space": "space"}), path)
    assert folder.read("0123-0", 16)[0].tolist() == IDS.tolist()
    pq.write_table(table.replace_schema_metadata({"space": "space", "format": "2"}), path)
    with pytest.raises(CatalogError, match=r"newer version .*0123-0\.parquet .*update the program") as caught:
        folder.read("0123-0", 16)
    assert caught.value.code == "newer-shard"


def test_an_interrupted_write_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_file(target) as stream:
            stream.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
