"""What is deleted is gone from the bucket and from every machine, or is listed, reported and tried again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects import local_cache
from medsiglip.index.storage import crash_recovery
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.shards import write_transaction
from medsiglip.index.vectors import ShardFolder
from tests.index.index_cases import DIMENSION, SPACE, make_bundle, unit_vectors
from tests.index.objects.machines import Machines

CONTENT = b"planted preview"


def holding(folder: Path, content: bytes) -> list[str]:
    """The files below a folder that hold these bytes."""
    return [path.name for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


def test_no_preview_of_a_forgotten_patient_stays_in_a_home(machines: Machines, tmp_path: Path) -> None:
    home = machines.folder / "one"
    with machines.open("one") as one:
        [image_id, _] = one.add([make_bundle(0, 2)], unit_vectors(2))
        one.objects.put_new(f"previews/{image_id}.512.png", [memoryview(CONTENT)])
        back_up(home, tmp_path / "backup", machines.url, lambda *_: None, machines.place)
        assert holding(tmp_path / "backup", CONTENT) == [f"{image_id}.512.png"]
        assert holding(home, CONTENT) == []
        earlier = home / "object-cache" / "previews" / "7.512.png"  # as an earlier version kept them
        earlier.parent.mkdir()
        earlier.write_bytes(CONTENT)
        one.remove_study("2.25.0")
        assert holding(home, CONTENT) == []
        assert machines.objects.versions(machines.bucket) == ["archive/identity.json"]


@pytest.mark.parametrize("damage", ["cut", "not-finite"])
def test_a_damaged_copy_is_fetched_once_more(machines: Machines, damage: str) -> None:
    with machines.open("one") as one:
        vectors = unit_vectors(2)
        one.add([make_bundle(0, 2)], vectors)
        [copy] = machines.copies("one")
        whole = copy.read_bytes()
        assert vectors.tobytes() in whole
        cut, other = whole[: len(whole) // 2], whole.replace(vectors.tobytes(), b"\xff" * vectors.nbytes)
        copy.unlink()
        copy.write_bytes(cut if damage == "cut" else other)
        shards = ShardFolder(one.objects, SPACE.name)
        np.testing.assert_array_equal(shards.read(copy.stem, DIMENSION)[1], vectors)
        assert copy.read_bytes() == whole


def test_a_copy_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, synced = tmp_path / "object-cache" / "vectors" / "a", []
    monkeypatch.setattr(local_cache, "sync_path", lambda path: synced.append((path, target.exists())))
    with local_cache.LocalCache(tmp_path, 1000).taking_in("vectors/a") as (file, keep):
        file.write_bytes(b"content")
        keep()
    assert synced == [(file, False)]
    assert target.read_bytes() == b"content"


def test_forgetting_while_the_bucket_is_away_ends_and_is_made_good(machines: Machines) -> None:
    with machines.open("one") as one:
        one.add([make_bundle(0, 2)], unit_vectors(2))
        with machines.away(one):
            with pytest.raises(CatalogError, match="remain") as caught:
                one.remove_study("2.25.0")
            assert caught.value.code == "versions-remain"
            assert machines.copies("one") == []
            assert one.studies() == []
            assert one.clean_up() != []
        assert len(machines.shards()) == 1
        one.compact()
        assert machines.shards() == []
        assert one.clean_up() == []


def test_what_cannot_be_deleted_is_listed_whoever_deletes_it(make_machines: Callable[..., Machines]) -> None:
    machines = make_machines(locked=True)
    unlocked = {"ObjectLockEnabled": "Enabled"}  # what is put is held one by one
    machines.objects.client.put_object_lock_configuration(
        Bucket=machines.bucket, ObjectLockConfiguration=unlocked
    )
    with machines.open("one") as one:
        token = crash_recovery.announce(one._database, "*/*/{token}-*")
        left = f"vectors/{SPACE.name}/{token}-0.parquet"
        one.objects.put_new(left, [memoryview(b"unfinished")])
        _hold(machines, left)
        since = str(datetime.now(UTC) - timedelta(hours=25))[:26]
        machines.execute("UPDATE unfinished_files SET since = ?", since)
        one.clean_up()
        assert machines.doomed() == [left]
        written: list[str] = []
        with pytest.raises(ZeroDivisionError):
            _fail(one, machines, written)
        preview = "previews/7.512.png"
        one.objects.put_new(preview, [memoryview(CONTENT)])
        _hold(machines, preview)
        one.delete_objects([preview])
        assert machines.doomed() == sorted([left, *written, preview])
        with pytest.raises(CatalogError, match="versions of 3 objects remain"):
            one.compact()
        [in_trash] = one.objects.matching("trash/*/*/*/*")
        _hold(machines, in_trash)
        one.add([make_bundle(0, 2)], unit_vectors(2))
        with pytest.raises(CatalogError, match="versions of 4 objects remain"):
            one.remove_study("2.25.0")
        held = sorted([left, *written, preview, in_trash])
        assert [one for one in machines.doomed() if not one.startswith("faiss/")] == held
        for name in held:
            _hold(machines, name, "OFF")
        one.compact()
        assert machines.doomed() == [f"faiss/{SPACE.name}.*"]  # for the other machines
        assert set(machines.objects.versions(machines.bucket)) == {"archive/identity.json"}


def _hold(machines: Machines, name: str, status: str = "ON") -> None:
    """Keep every version of an object from being deleted, or let it be."""
    client, key = machines.objects.client, f"archive/{name}"
    for one in client.list_object_versions(Bucket=machines.bucket, Prefix=key)["Versions"]:
        given = {"Bucket": machines.bucket, "Key": key, "VersionId": one["VersionId"]}
        client.put_object_legal_hold(LegalHold={"Status": status}, **given)


def _fail(index: CaseIndex, machines: Machines, written: list[str]) -> None:
    with write_transaction(index._database) as transaction:
        transaction.add_shard(1, SPACE.name, np.array([7]), unit_vectors(1), "float32")
        written += [f"vectors/{SPACE.name}/{name}.parquet" for _, name in transaction.files.written]
        _hold(machines, written[0])
        raise ZeroDivisionError


def test_each_machine_deletes_what_it_had_of_its_own(machines: Machines) -> None:
    received, snapshots = "received/a/1.dcm", f"faiss/{SPACE.name}.*"
    with machines.open("one") as one, machines.open("two") as two:
        files = [machines.folder / "two" / name for name in (received, f"faiss/{SPACE.name}.index")]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(CONTENT)
            os.utime(file, (time.time() - 60,) * 2)
        with write_transaction(one._database) as transaction:
            transaction.delete_files([received, snapshots, snapshots])
        one.clean_up()
        assert machines.doomed() == [snapshots, received]
        two.clean_up()
        assert holding(machines.folder / "two", CONTENT) == []
        assert machines.doomed() == [snapshots]
        files[1].write_bytes(CONTENT)  # made of what is left
        os.utime(files[1], (time.time() + 60,) * 2)
        two.clean_up()
        assert files[1].exists()
        machines.execute("UPDATE doomed_files SET since = ?", str(datetime.now(UTC) - timedelta(days=8))[:26])
        one.clean_up()
        assert machines.doomed() == []


def test_a_machine_that_was_off_drops_its_copies_when_it_searches(machines: Machines) -> None:
    with machines.open("one") as one:
        vectors = unit_vectors(4)
        ids = [one.add([make_bundle(study, 2)], vectors[2 * study :][:2])[0] for study in range(2)]
        with machines.open("two") as two:
            assert len(two.search(vectors[:1], k=4)[0]) == 4
            assert len(machines.copies("two")) == 2
        one.remove_study("2.25.0")
        with machines.open("two") as two:
            assert two.search(vectors[2:3], k=4)[0][0].image_id == ids[1]
        assert not any(vectors[0].tobytes() in copy.read_bytes() for copy in machines.copies("two"))
