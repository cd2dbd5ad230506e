"""Faults of the disk of a backup, of a restored home and of the archive are told apart, and leave nothing."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.backups import backup as backup_module
from medsiglip.index.storage.backups import backup_check, backup_folder
from tests.api.archive.conftest import NewCatalogue
from tests.api.conftest import Home


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full(*_: object) -> None:
    """What SQLite says of a full disk."""
    with closing(sqlite3.connect(":memory:")) as small:
        small.execute("PRAGMA max_page_count = 1")
        small.execute("CREATE TABLE one (x)")


def test_a_catalogue_that_cannot_be_written_is_a_fault_of_the_folder(
    tmp_path: Path, new_catalogue: NewCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups" / "one"
    with Archive(tmp_path / "home", database_url=new_catalogue()) as archive:
        archive.make()
        archive.index.info()
        real = backup_module.copy_catalogue

        def limited(*given: Any) -> None:
            with files_limited_to(100):
                real(*given)

        monkeypatch.setattr(backup_module, "copy_catalogue", limited)
        with pytest.raises(CatalogError) as caught:
            archive.back_up(folder)
    assert caught.value.code in ("bad-backup-folder", "disk-full")
    assert str(folder) in str(caught.value)
    assert str(tmp_path / "home") not in str(caught.value)
    assert list(folder.parent.iterdir()) == []


def test_a_full_disk_of_the_backup_is_named(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the catalogue, at a file, and at the description."""
    folder = tmp_path / "backups" / "one"
    real = backup_folder.copy_file

    def limited(*given: Any) -> Any:
        with files_limited_to(16):
            return real(*given)

    for module, name, fault in (
        (Database, "copy_to", full),
        (backup_module, "copy_file", limited),
        (backup_module, "write_text", lambda *_: Path("/dev/full").write_bytes(b"x")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fault)
            error = own_home.run("backup", folder).error
        assert error["code"] == "disk-full"
        assert str(folder) in error["message"]
        assert "unfinished" not in error["message"]
        assert list(folder.parent.iterdir()) == []


def test_a_full_disk_of_the_restored_home_is_named(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_home.run("backup", tmp_path / "backup")
    home = tmp_path / "new" / "home"
    real = backup_folder.copy_file

    def limited(*given: Any) -> Any:
        with files_limited_to(16):
            return real(*given)

    monkeypatch.setattr(backup_check, "copy_file", limited)
    with Archive(home) as archive, pytest.raises(CatalogError) as caught:
        archive.restore_backup(tmp_path / "backup")
    assert caught.value.code == "disk-full"
    assert str(home) in str(caught.value)
    assert list(home.parent.iterdir()) == []


def test_places_where_no_folder_can_be_made_are_named(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "below"
    with Archive(own_home.path) as archive:
        archive.back_up(tmp_path / "backup")
        with pytest.raises(CatalogError) as caught:
            archive.back_up(place)
    assert (caught.value.code, str(place) in str(caught.value)) == ("bad-backup-folder", True)
    with Archive(place) as archive, pytest.raises(CatalogError) as caught:
        archive.restore_backup(tmp_path / "backup")
    assert (caught.value.code, str(place) in str(caught.value)) == ("bad-home", True)


def test_a_file_of_the_archive_that_cannot_be_read_is_named(own_home: Home, tmp_path: Path) -> None:
    unreadable = own_home.path / "generators.toml"
    unreadable.symlink_to(unreadable)
    error = own_home.run("backup", tmp_path / "backup").error
    assert error["code"] == "disk-error"
    assert str(unreadable) in error["message"]
    assert not (tmp_path / "backup").exists()


def test_a_damaged_catalogue_of_the_archive_is_not_a_fault_of_the_folder(
    own_home: Home, tmp_path: Path
) -> None:
    catalogue = own_home.path / "catalog.db"

    def spoil(*_: object) -> None:
        catalogue.write_bytes(bytes(size))

    with Archive(own_home.path) as archive:
        archive.index.info()
        size = catalogue.stat().st_size
        with pytest.raises(CatalogError) as caught:
            archive.back_up(tmp_path / "backup", on_progress=spoil)
    assert caught.value.code in ("catalog-corrupt", "not-a-catalog")
    assert str(catalogue) in str(caught.value)
    assert not (tmp_path / "backup").exists()
