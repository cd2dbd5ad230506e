"""Homes whose files lie in a bucket, on two machines that share a catalogue: what they find is compared with
brute force, and what is left in the bucket with what a client of its own sees.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.service_schema import unfinished_files
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace
from medsiglip.index.storage import crash_recovery
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.backups.backup_check import restore_backup, verify_backup
from medsiglip.index.storage.shards import write_transaction
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.index.objects.machines import Machines


def nearest(index: CaseIndex, query: np.ndarray[Any, Any]) -> list[int]:
    return [hit.image_id for hit in index.search(query[None], k=4)[0]]


def test_two_machines_share_one_archive(machines: Machines) -> None:
    with machines.open("one") as one, machines.open("two") as two:
        one.activate(SPACE)
        vectors = unit_vectors(8)
        ids = [i for study in range(4) for i in one.add([make_bundle(study, 2)], vectors[study * 2 :][:2])]
        query = unit_vectors(1, 9)[0]
        best = [ids[place] for place in np.argsort(-(vectors @ query))]
        assert nearest(one, query) == nearest(two, query) == best[:4]
        assert len(machines.copies("two")) == 4
        assert two.compact().shards_after == 1
        assert nearest(one, query) == best[:4]
        assert len(machines.shards()) == len(machines.copies("two")) == 1
        assert machines.copies("one") == []  # gone with the state that had them; they are fetched when needed
        two.remove_study("2.25.0")
        left = [image_id for image_id in best if image_id not in ids[:2]]
        assert nearest(one, query) == nearest(two, query) == left[:4]
        # Neither an earlier version nor a copy is left of what was forgotten.
        assert len(machines.shards()) == 1
        for name in ("one", "two"):
            assert not any(vectors[0].tobytes() in copy.read_bytes() for copy in machines.copies(name))
        for index in (one, two):
            assert index.verify(deep=True).problems == ()
        assert not (machines.folder / "one" / "vectors").exists()


@pytest.mark.long
def test_what_a_bucket_lacks_or_has_otherwise_is_found(machines: Machines) -> None:
    with machines.open("one") as one:
        one.activate(SPACE)
        one.add([make_bundle(0, 2)], unit_vectors(2))
        one.add([make_bundle(1, 2)], unit_vectors(2, 1))
        first, second = machines.shards()
        damaged = machines.objects.client.get_object(Bucket=machines.bucket, Key=first)
        content = damaged["Body"].read()[:-1] + b"x"
        given = {"Bucket": machines.bucket, "Key": first, "Metadata": damaged["Metadata"]}
        machines.objects.client.put_object(Body=content, **given)
        [problem] = one.verify(deep=True).problems
        assert f"s3://{machines.bucket}/{first} is not what was written" in problem
        machines.objects.client.delete_object(Bucket=machines.bucket, Key=second)
    with machines.open("two") as two:
        problems = " ".join(two.verify().problems)
        assert f"{first} cannot be read" in problems
        assert f"{second} is gone" in problems


def test_a_damaged_copy_is_fetched_anew_before_it_is_written_again(machines: Machines) -> None:
    """Otherwise the sound object would be deleted, and the damage have a checksum that agrees with it."""
    vectors = unit_vectors(8)
    with machines.open("one") as one:
        one.activate(SPACE)
        ids = one.add([make_bundle(0, 2), make_bundle(1, 2)], vectors[:4])
        for study in (2, 3):
            ids += one.add([make_bundle(study, 2)], vectors[2 * study :][:2])

    def damage() -> None:
        for copy in machines.copies("one"):
            content = copy.read_bytes()
            for vector in vectors:
                content = content.replace(vector.tobytes(), bytes(vector.nbytes))
            copy.write_bytes(content)

    with machines.open("one") as one:
        damage()
        one.remove_study("2.25.0")
        damage()
        assert one.compact().shards_after == 1
    with machines.open("two") as two:
        assert np.array_equal(two.vectors(ids[2:]), vectors[2:])
        assert two.verify(deep=True).problems == ()


@pytest.mark.long
def test_leftovers_of_killed_writers_go_when_they_are_a_day_old(machines: Machines) -> None:
    with machines.open("one") as one:
        one.activate(SPACE)
        one.add([make_bundle(0, 2)], unit_vectors(2))
        kept = machines.shards()
        database = one._database
        token = crash_recovery.announce(database, "*/*/{token}-*")
        left = f"vectors/{SPACE.name}/{token}-0.parquet"
        stranger = f"vectors/{SPACE.name}/not-of-this-archive.parquet"
        for name in (left, stranger):
            database.objects.put_new(name, [memoryview(b"unfinished")])
        one.clean_up()
        assert f"archive/{left}" in machines.shards()
        engine = create_engine(machines.url)
        with engine.begin() as connection:
            since = datetime.now(UTC) - timedelta(hours=25)
            connection.execute(update(unfinished_files).values(since=since))
        engine.dispose()
        one.clean_up()
        assert machines.objects.names(machines.bucket)[-3].startswith("archive/trash/")
        assert sorted(database.objects.matching("vectors/*/*")) == sorted(
            [kept[0].removeprefix("archive/"), stranger]
        )
        one.remove_study("2.25.0")
        assert [name for name in machines.objects.versions(machines.bucket) if "trash" in name] == []
        with pytest.raises(ZeroDivisionError):
            _fail_in_a_transaction(database)
        assert machines.shards() == [f"archive/{stranger}"]


def _fail_in_a_transaction(database: Database) -> None:
    with write_transaction(database) as transaction:
        transaction.add_shard(1, SPACE.name, np.array([7]), unit_vectors(1), "float32")
        raise ZeroDivisionError


def test_versions_that_must_stay_are_not_passed_over(make_machines: Callable[..., Machines]) -> None:
    machines = make_machines(locked=True)
    with machines.open("one") as one:
        one.activate(SPACE)
        one.add([make_bundle(0, 2)], unit_vectors(2))
        with pytest.raises(CatalogError, match="versions of 1 objects remain") as caught:
            one.remove_study("2.25.0")
        assert caught.value.code == "versions-remain"
        assert one.studies() == []
        assert machines.objects.names(machines.bucket) == ["archive/identity.json"]
        assert len(set(machines.shards())) == 1


@pytest.mark.long
def test_another_place_than_that_of_the_archive_is_refused(machines: Machines, tmp_path: Path) -> None:
    with machines.open("one") as one:
        one.activate(SPACE)
        one.add([make_bundle(0, 2)], unit_vectors(2))
    before = machines.objects.names(machines.bucket)
    elsewhere = machines.objects.place(machines.objects.new_bucket())
    beside = machines.objects.place(machines.bucket, "beside")
    for place in (IN_THE_HOME, elsewhere, beside):
        for home in ("one", "two"):
            with pytest.raises(CatalogError, match=f"s3://{machines.bucket}/archive") as caught:
                machines.open(home, objects=place)
            assert caught.value.code == "other-object-store"
    with pytest.raises(CatalogError, match="files of another archive") as caught:
        CaseIndex.open(tmp_path / "other", objects=machines.place)
    assert caught.value.code == "other-object-store"
    assert not (tmp_path / "other" / "catalog.db").exists()
    with CaseIndex.open(tmp_path / "plain") as plain:
        plain.activate(SPACE)
        plain.add([make_bundle(0, 2)], unit_vectors(2))
    with pytest.raises(CatalogError, match="the folder of the home") as caught:
        CaseIndex.open(tmp_path / "plain", objects=elsewhere)
    assert caught.value.code == "other-object-store"
    assert machines.objects.names(machines.bucket) == before


def _restored(machines: Machines, folder: Path, home: Path, place: ObjectPlace) -> list[int]:
    assert verify_backup(folder, lambda *_: "", lambda *_: None).problems == ()
    restore_backup(folder, home, None, lambda *_: "", lambda *_: None, place)
    with CaseIndex.open(home, objects=place) as index:
        assert index.verify(deep=True).problems == ()
        return nearest(index, unit_vectors(1, 9)[0])


@pytest.mark.long
def test_a_backup_moves_an_archive_to_a_bucket_and_back(machines: Machines, tmp_path: Path) -> None:
    with machines.open("one") as one:
        one.activate(SPACE)
        for study in range(3):
            one.add([make_bundle(study, 2)], unit_vectors(2, study))
        one.objects.put_new("previews/1000000.512.png", [memoryview(b"of nobody")])
        found = nearest(one, unit_vectors(1, 9)[0])
    first, second = tmp_path / "first", tmp_path / "second"
    back_up(tmp_path / "one", first, machines.url, lambda *_: None, machines.place)
    assert _restored(machines, first, tmp_path / "local", IN_THE_HOME) == found
    assert len(list((tmp_path / "local" / "vectors").rglob("*.parquet"))) == 3
    back_up(tmp_path / "local", second, None, lambda *_: None)
    bucket = machines.objects.new_bucket()
    place = machines.objects.place(bucket)
    assert _restored(machines, second, tmp_path / "again", place) == found
    assert len(machines.objects.names(bucket)) == 4
    with pytest.raises(CatalogError, match="name an empty place") as caught:
        restore_backup(second, tmp_path / "more", None, lambda *_: "", lambda *_: None, place)
    assert caught.value.code == "other-object-store"
    assert not (tmp_path / "more").exists()
