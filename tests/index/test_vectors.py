from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from medsiglip.index import shard_file
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
    ids, stored = folder.open(name)[:2]
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


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("count", "dimension"), [(0, 16), (1, 1), (5, 3), (300, 1152), (1000, 9)])
def test_what_is_read_is_what_was_stored_bit_by_bit(
    tmp_path: Path, dtype: Dtype, count: int, dimension: int
) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(count, dimension=dimension).astype(dtype)
    folder.write("0123-0", np.arange(count) * 3, vectors, dtype)
    shard = folder.open("0123-0")
    assert shard.values.dtype == dtype
    assert shard.values.shape == (count, dimension)
    assert shard.values.tobytes() == vectors.tobytes()
    assert shard.ids.tolist() == [3 * i for i in range(count)]
    if dtype == "float32":
        assert folder.read("0123-0", dimension)[1].tobytes() == vectors.tobytes()
    else:
        expected = unit_length(vectors.astype(np.float32))
        assert folder.read("0123-0", dimension)[1].tobytes() == expected.tobytes()
    table = pq.read_table(folder.file("0123-0"))
    assert table.schema.field("embedding").type.list_size == dimension
    stored = table["embedding"].combine_chunks().flatten().to_numpy() if count else np.empty(0, dtype)
    assert stored.tobytes() == vectors.tobytes()
    batches = list(pq.ParquetFile(folder.file("0123-0")).iter_batches(64))
    assert sum(batch.num_rows for batch in batches) == count


def test_vectors_are_mapped_and_outlive_the_deletion_of_their_file(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    folder.write("0123-0", IDS, unit_vectors(3), "float32")
    ids, vectors = folder.read("0123-0", 16)
    assert not vectors.flags.writeable
    assert not vectors.flags.owndata
    assert vectors.ctypes.data % 64 == 0
    folder.discard("0123-0")
    assert (vectors == unit_vectors(3)).all()
    assert ids.tolist() == IDS.tolist()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_what_was_looked_at_does_not_stay_in_memory(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(20_000, dimension=64)
    folder.write("0123-0", np.arange(20_000), vectors, "float32")
    shard = folder.checked("0123-0", 64)
    assert _resident(folder.file("0123-0")) < vectors.nbytes / 8
    assert np.allclose(shard.lengths(), 1)
    assert _resident(folder.file("0123-0")) < vectors.nbytes / 8
    assert (shard.vectors() == vectors).all()
    assert _resident(folder.file("0123-0")) > vectors.nbytes / 2
    shard.let_go()
    assert (shard.vectors(slice(7, 9)) == vectors[7:9]).all()


def _resident(path: Path) -> int:
    """Bytes of a mapped file that are in the memory of this process."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    size = re.compile(r"Rss: *(\d+) kB")
    found = [next(filter(None, map(size.match, lines))) for line in lines if line.endswith(str(path))]
    return 1024 * sum(int(one[1]) for one in found)


def test_a_shard_of_several_row_groups_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_file, "MOST_PAGE_BYTES", 16 * 4 * 10)
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(37)
    folder.write("0123-0", np.arange(37), vectors, "float32")
    assert pq.read_metadata(folder.file("0123-0")).num_row_groups == 4
    assert folder.read("0123-0", 16)[1].tobytes() == vectors.tobytes()
    assert pq.read_table(folder.file("0123-0"))["image_id"].to_pylist() == list(range(37))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_shard_that_another_program_rewrote_is_read_as_parquet(
    tmp_path: Path, compression: Literal["none", "zstd"]
) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = unit_vectors(3)
    folder.write("0123-0", IDS, vectors, "float32")
    path = folder.file("0123-0")
    table = pq.read_table(path)
    pq.write_table(table, path, compression=compression)  # with our metadata, which does not fit any more
    assert folder.read("0123-0", 16)[1].tobytes() == vectors.tobytes()


def test_shards_of_earlier_versions_are_scaled_as_they_were(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    vectors = (unit_vectors(50, dimension=8) * np.float32(1.0005)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), list_size=8)
    table = pa.table({"image_id": pa.array(np.arange(50)), "embedding": column})
    folder.file("old").parent.mkdir(parents=True)
    pq.write_table(table.replace_schema_metadata({"space": "space", "format": "1"}), folder.file("old-0"))
    assert folder.open("old-0").values.tobytes() == vectors.tobytes()
    read = folder.read("old-0", 8)[1]
    assert read.tobytes() == unit_length(vectors).tobytes()
    # Written anew, as when shards are merged, searches see the same.
    kept = folder.open("old-0").rewritten(np.ones(50, bool))
    folder.write("new-0", np.arange(50), kept, "float32")
    assert folder.read("new-0", 8)[1].tobytes() == read.tobytes()


def test_a_shard_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "space")
    for name, count in (("small-0", 3), ("large-0", 1000)):
        checksum = folder.write(name, np.arange(count), unit_vectors(count, dimension=512), "float32")
        content = folder.file(name).read_bytes()
        assert checksum == f"blake3:{blake3(content).hexdigest()}" == folder.checksum(name)
    with pytest.raises(CatalogError) as caught:
        folder.checksum("gone-0")
    assert caught.value.code == "missing-shard"
