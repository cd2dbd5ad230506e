"""Objects in a bucket, compared with what a client of its own sees there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medsiglip.index.checksums import checksum_of
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import ObjectPlace, open_store
from tests.index.objects import killed_put
from tests.object_server import KEY, SECRET, ObjectServer

NAME = "vectors/space/a-0.parquet"


def view(content: bytes) -> list[memoryview]:
    return [memoryview(content[:3]), memoryview(content[3:])]


def test_an_object_is_put_once_as_a_whole(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket()
    store = open_store(tmp_path, objects.place(bucket, "one/two"))
    assert store.put_new(NAME, view(b"content")) == checksum_of([memoryview(b"content")])
    assert objects.names(bucket) == [f"one/two/{NAME}"]
    held = objects.client.get_object(Bucket=bucket, Key=f"one/two/{NAME}")
    assert held["Body"].read() == b"content"
    store.put_new(NAME, view(b"content"))
    with pytest.raises(CatalogError, match=f"s3://{bucket}/one/two/{NAME}") as caught:
        store.put_new(NAME, view(b"another"))
    assert caught.value.code == "object-exists"
    assert store.read(NAME) == b"content"


def test_another_machine_reads_through_its_cache(objects: ObjectServer, tmp_path: Path) -> None:
    place = objects.place(objects.new_bucket())
    here, there = (open_store(tmp_path / name, place) for name in ("here", "there"))
    with pytest.raises(FileNotFoundError):
        there.open_local(NAME)
    here.put_new(NAME, view(b"content"))
    assert there.open_local(NAME).read_bytes() == b"content"
    assert there.open_local(NAME) == there.copy_path(NAME) != here.copy_path(NAME)
    assert there.checksum(NAME) == checksum_of([memoryview(b"content")])
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_object_that_is_not_what_was_put_there_is_refused(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket()
    store = open_store(tmp_path / "here", objects.place(bucket))
    checksum = store.put_new(NAME, view(b"content"))
    other = {"Metadata": {"checksum": checksum}, "Body": b"damaged"}
    objects.client.put_object(Bucket=bucket, Key=f"archive/{NAME}", **other)
    with pytest.raises(OSError, match="not what was put"):
        open_store(tmp_path / "there", objects.place(bucket)).open_local(NAME)
    assert store.checksum(NAME) == checksum_of([memoryview(b"damaged")])
    assert not [path for path in (tmp_path / "there").rglob("*") if path.is_file()]


def test_the_cache_keeps_to_its_bound(objects: ObjectServer, tmp_path: Path) -> None:
    store = open_store(tmp_path, objects.place(objects.new_bucket(), cache_bytes=5000))
    names = [f"vectors/space/{number}-0.parquet" for number in range(8)]
    for number, name in enumerate(names):
        store.put_new(name, [memoryview(bytes([number]) * 1000)])
        used = time.time() - 1000 + number
        os.utime(store.copy_path(name), (used, used))
    assert [store.copy_path(name).exists() for name in names] == [False] * 3 + [True] * 5
    assert [store.open_local(name).read_bytes()[0] for name in names] == list(range(8))


@pytest.mark.long
def test_globs_find_what_fits_part_by_part(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket()
    remote = open_store(tmp_path / "remote", objects.place(bucket))
    local = open_store(tmp_path / "local", ObjectPlace())
    names = [f"{folder}/{space}/{name}-{n}.parquet" for folder in ("vectors", "maps") for space in "ab"
             for name in ("cc", "cd") for n in range(2)]  # fmt: skip
    names += ["previews/1.512.png", "previews/11.512.png", "previews/1.64.png", "vectors/a/[x]-0.parquet"]
    for name in names:
        for store in (remote, local):
            store.put_new(name, view(name.encode()))
    for pattern in (
        *("*/*/cc-*", "*/*/*", "previews/1.*", "previews/*", "vectors/a/cc-0.parquet", "vectors/*/c?-1.*"),
        *("vectors/[b]/*", "vectors/a/[[]x]-0.parquet", "maps/none/*", "faiss/*"),
    ):
        assert remote.matching(pattern) == local.matching(pattern), pattern
    assert len(remote.matching("*/*/*")) == 17


def test_deleting_takes_every_version_along(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket(versioned=True)
    store = open_store(tmp_path, objects.place(bucket))
    for name in (NAME, "previews/1.512.png", "previews/1.64.png", "previews/10.512.png"):
        store.put_new(name, view(b"content"))
        objects.client.put_object(Bucket=bucket, Key=f"archive/{name}", Body=b"a later version")
    objects.client.delete_object(Bucket=bucket, Key="archive/previews/1.64.png")
    assert store.sweep([NAME, "previews/1.*", "previews/7.*"]) == []
    assert objects.versions(bucket) == ["archive/previews/10.512.png"] * 2
    assert not store.copy_path(NAME).exists()
    assert store.delete(["previews/10.512.png", "previews/none.png"]) == []
    assert objects.versions(bucket) == []


def test_versions_that_are_held_are_reported(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket(locked=True)
    store = open_store(tmp_path, objects.place(bucket))
    store.put_new(NAME, view(b"content"))
    assert store.sweep([NAME, "previews/1.*"]) == [NAME]
    assert objects.names(bucket) == []
    assert f"archive/{NAME}" in objects.versions(bucket)


@pytest.mark.long
def test_a_process_that_is_killed_in_a_put_leaves_nothing(objects: ObjectServer, tmp_path: Path) -> None:
    bucket = objects.new_bucket()
    place = objects.place(bucket)
    given = [str(tmp_path / "home"), str(place.url), str(place.credentials_file), NAME]
    done = subprocess.run([sys.executable, killed_put.__file__, *given], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    assert objects.names(bucket) == []
    store = open_store(tmp_path / "home", place)
    assert not store.copy_path(NAME).exists()
    store.put_new(NAME, view(b"content"))
    assert store.read(NAME) == b"content"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://bucket/x", "neither is file"),
        ("s3://user:planted-secret@bucket/x", "credentials"),
        ("s3://UPPER/x", "bucket"),
        ("s3://bucket/a/../b", "prefix"),
        ("s3://bucket/x?secret_key=planted-secret", "nothing else"),
        ("s3://bucket/x?endpoint_override=file:///etc", "endpoint_override"),
    ],
)
def test_what_is_no_place_is_refused_without_quoting_it(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(CatalogError, match=why) as caught:
        open_store(tmp_path, ObjectPlace(url))
    assert caught.value.code == "bad-object-url"
    assert "planted" not in str(caught.value)


def test_a_bucket_that_is_away_or_refuses_is_named(objects: ObjectServer, tmp_path: Path) -> None:
    away = ObjectPlace(
        "s3://bucket/x?endpoint_override=http://127.0.0.1:9&region=us-east-1", objects.credentials
    )
    with pytest.raises(CatalogError, match="s3://bucket/x cannot be reached") as caught:
        open_store(tmp_path, away).read(NAME)
    assert caught.value.code == "object-store-unreachable"
    with pytest.raises(CatalogError, match="no such bucket") as caught:
        open_store(tmp_path, objects.place("bucket-none")).put_new(NAME, view(b"content"))
    assert caught.value.code == "object-store-refused"
    assert KEY not in str(caught.value)
    assert SECRET not in repr(objects.place("bucket-none"))
    missing = ObjectPlace(objects.place("bucket-none").url, tmp_path / "none")
    with pytest.raises(CatalogError, match="is not there") as caught:
        open_store(tmp_path, missing).read(NAME)
