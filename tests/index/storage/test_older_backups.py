"""A backup that an older version made is checked and restored, into a file and into a server."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.backups.backup_check import restore_backup, verify_backup
from tests.index.index_cases import make_bundle, sqlite_only, unit_vectors
from tests.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.long

# What each revision added, taken away again.
TO_0007 = (
    "ALTER TABLE home DROP COLUMN object_store",
    "ALTER TABLE home DROP COLUMN newest_id",
    "ALTER TABLE home DROP COLUMN vector_engine",
    "DROP TABLE vector_changes",
    "ALTER TABLE doomed_files DROP COLUMN since",
    "ALTER TABLE home DROP COLUMN older_pixel_hashes",
    "ALTER TABLE shards DROP COLUMN checksum",
    "DROP TABLE report_search",
    "DROP TABLE report_terms",
    "UPDATE alembic_version SET version_num = '0007'",
)
TO_0005 = (
    *TO_0007,
    "ALTER TABLE routes DROP COLUMN removed_at",
    "ALTER TABLE studies DROP COLUMN study_time",
    "DROP INDEX ix_labels_class_column",
    "ALTER TABLE labels DROP COLUMN class_column",
    "DROP INDEX ix_instances_pixel_hash",
    "UPDATE alembic_version SET version_num = '0005'",
)


def no_key(_folder: Path, _bound: str) -> str:
    return ""


def no_step(_stage: str, _done: int, _total: int | None) -> None:
    pass


@pytest.fixture
def backup(index: CaseIndex, home: Path, tmp_path: Path) -> Path:
    """Of four studies, one with a report."""
    index.add([make_bundle(n, 2) for n in range(4)], unit_vectors(8, 1))
    index.report_texts.put({"2.25.1": "Pleural effusion."}, "import")
    index.close()
    back_up(home, tmp_path / "backup", None, no_step)
    return tmp_path / "backup"


def change(backup: Path, statements: tuple[str, ...]) -> None:
    """Change the catalogue of a backup, as if it had been made so."""
    catalogue = backup / "catalog.db"
    with closing(sqlite3.connect(catalogue)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    with closing(sqlite3.connect(catalogue)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    content, listing = catalogue.read_bytes(), backup / "files.jsonl"
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    for line in lines:
        if line["path"] == "catalog.db":
            line.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    listing.write_text("".join(json.dumps(line) + "\n" for line in lines))


@sqlite_only
@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("older", [TO_0007, TO_0005])
def test_a_backup_of_an_older_version_is_restored(
    backup: Path,
    tmp_path: Path,
    older: tuple[str, ...],
    on_server: bool,
    postgresql_server: PostgresqlServer,
    new_database: Callable[[], str],
) -> None:
    change(backup, older)
    before = (backup / "catalog.db").read_bytes()
    assert verify_backup(backup, no_key, no_step).problems == ()
    url = new_database() if on_server else None
    assert restore_backup(backup, tmp_path / "again", url, no_key, no_step).problems == ()
    assert (backup / "catalog.db").read_bytes() == before
    with CaseIndex.open(tmp_path / "again", database_url=url) as restored:
        assert restored.verify().problems == ()
        assert len(restored.studies()) == 4
        assert [one.study_instance_uid for one in restored.report_texts.find("effusions")] == ["2.25.1"]
        [hits] = restored.search(unit_vectors(8, 1)[:1], k=1)
        assert hits[0].study_instance_uid == "2.25.0"
        restored.add([make_bundle(9, 1)], unit_vectors(1, 9))
        assert restored.verify().problems == ()


@sqlite_only
def test_a_newer_version_is_not_restored_into_a_file(backup: Path, tmp_path: Path) -> None:
    change(backup, ("UPDATE alembic_version SET version_num = '9999'",))
    with pytest.raises(CatalogError, match=r"newer version.*9999") as caught:
        restore_backup(backup, tmp_path / "again", None, no_key, no_step)
    assert caught.value.code == "newer-backup"
    assert not (tmp_path / "again").exists()


@sqlite_only
def test_the_rows_of_a_newer_version_are_not_copied(
    backup: Path, tmp_path: Path, postgresql_server: PostgresqlServer, new_database: Callable[[], str]
) -> None:
    change(backup, ("UPDATE alembic_version SET version_num = '9999'",))
    url = new_database()
    with pytest.raises(CatalogError, match=r"newer version.*9999") as caught:
        restore_backup(backup, tmp_path / "again", url, no_key, no_step)
    assert caught.value.code == "newer-backup"
    assert not (tmp_path / "again").exists()
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
