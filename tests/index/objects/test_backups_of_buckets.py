"""Backups of archives in a bucket, and restores into one that fail or are cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import ObjectPlace
from medsiglip.index.storage.backups import backup_check
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.backups.backup_check import restore_backup, verify_backup
from medsiglip.index.storage.backups.restored_objects import RESTORING, RestoredObjects
from tests.index.index_cases import make_bundle, unit_vectors
from tests.index.objects.machines import Machines

STRANGER = "archive/vectors/space/a-0.parquet"


@pytest.fixture
def backup(index: CaseIndex, home: Path, tmp_path: Path) -> Path:
    """Of two studies, in two shards."""
    for study in range(2):
        index.add([make_bundle(study, 2)], unit_vectors(2, study))
    index.close()
    back_up(home, tmp_path / "backup", None, lambda *_: None)
    return tmp_path / "backup"


def restore(backup: Path, home: Path, place: ObjectPlace) -> None:
    restore_backup(backup, home, None, lambda *_: "", lambda *_: None, place)


def failing(*_: object, **__: object) -> None:
    """What a restore does last, once all files were put."""
    raise ZeroDivisionError


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_a_restore_that_fails_takes_back_what_it_put_and_nothing_else(
    backup: Path, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = machines.objects.client, machines.bucket
    client.put_object(Bucket=bucket, Key=STRANGER, Body=b"of somebody else")
    with pytest.raises(CatalogError, match="name an empty place") as caught:
        restore(backup, tmp_path / "restored", machines.place)
    assert caught.value.code == "other-object-store"
    assert machines.objects.versions(bucket) == [STRANGER]
    client.delete_object(Bucket=bucket, Key=STRANGER)
    put = RestoredObjects.put

    def put_beside(self: RestoredObjects, file: Path, name: str) -> None:
        client.put_object(Bucket=bucket, Key=STRANGER, Body=b"of somebody else")
        put(self, file, name)

    with monkeypatch.context() as patch:
        patch.setattr(RestoredObjects, "put", put_beside)
        patch.setattr(backup_check, "_as_new", failing)
        with pytest.raises(ZeroDivisionError):
            restore(backup, tmp_path / "restored", machines.place)
    assert machines.objects.names(bucket) == [STRANGER]
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
@pytest.mark.long
def test_a_restore_that_was_killed_can_be_tried_again(
    backup: Path, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RestoredObjects, "take_back", lambda _: None)
        patch.setattr(backup_check, "_as_new", failing)
        with pytest.raises(ZeroDivisionError):
            restore(backup, tmp_path / "restored", machines.place)
    assert f"archive/{RESTORING}" in machines.objects.names(machines.bucket)
    restore(backup, tmp_path / "restored", machines.place)
    names = machines.objects.names(machines.bucket)
    assert len(names) == 3
    assert f"archive/{RESTORING}" not in names
    with CaseIndex.open(tmp_path / "restored", objects=machines.place) as restored:
        assert restored.verify(deep=True).problems == ()
    with pytest.raises(CatalogError, match="is an archive's"):
        restore(backup, tmp_path / "again", machines.place)


def test_a_damaged_object_is_a_problem_of_the_backup_and_not_its_end(
    machines: Machines, tmp_path: Path
) -> None:
    with machines.open("one") as one:
        for study in range(2):
            one.add([make_bundle(study, 2)], unit_vectors(2, study))
        damaged = machines.shards()[0]
        held = machines.objects.client.get_object(Bucket=machines.bucket, Key=damaged)
        given = {"Bucket": machines.bucket, "Key": damaged, "Metadata": held["Metadata"]}
        machines.objects.client.put_object(Body=b"x" + held["Body"].read()[1:], **given)
    made = back_up(tmp_path / "one", tmp_path / "backup", machines.url, lambda *_: None, machines.place)
    [problem] = made.problems
    assert damaged.removeprefix("archive/") in problem
    assert verify_backup(tmp_path / "backup", lambda *_: "", lambda *_: None).problems == made.problems
    assert len(list((tmp_path / "backup" / "vectors").rglob("*.parquet"))) == 1
