"""Backups made while an ingest runs, on SQLite and PostgreSQL: whole, checked, restored, refused when
damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.backups import verify_backup
from medsiglip.api.settings import read_settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import metadata
from medsiglip.index.storage import backup as backup_module
from tests.api.conftest import Home, Phantoms, run
from tests.api.service_processes import Started, eventually
from tests.postgresql_server import PostgresqlServer


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the archive's catalogue is: None for SQLite in the home."""
    if request.param == "sqlite":
        yield None
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    made = server.new_database()
    yield made
    server.drop(made)


@pytest.fixture
def at_url(url: str | None, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The same, as the environment of commands."""
    if url is not None:
        monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", url)
    return url


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of a catalogue, by table."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return found


def test_a_backup_made_during_an_ingest_restores_to_a_whole_archive(
    tmp_path: Path, phantoms: Phantoms, at_url: str | None, postgresql_server: PostgresqlServer
) -> None:
    home, folder = tmp_path / "home", tmp_path / "backups" / "monday"
    studies = sorted(phantoms.dicom.iterdir())
    assert run("--home", home, "--json", "ingest", *studies[:8]).code == 0
    ingest = Started(home, ("ingest", str(phantoms.dicom)), at_url)
    try:
        with CaseIndex.open(home, database_url=at_url) as index:
            before = {one.study_instance_uid for one in index.studies()}
            eventually(lambda: {one.study_instance_uid for one in index.studies()} > before)
            before = {one.study_instance_uid for one in index.studies()}
            made = run("--home", home, "--json", "backup", folder).json
            index.compact()  # takes away what the backup has named
        assert ingest.process.wait(120) == 0, ingest.log.read_text()
    finally:
        ingest.end()
    assert made["ok"]
    assert made["folder"] == str(folder)
    assert made["studies"] >= len(before)
    assert run("--home", home, "--json", "backup", "verify", folder).json == made
    assert [path.name for path in folder.parent.iterdir()] == ["monday"]
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (folder / "secret.key").read_bytes() == (home / "secret.key").read_bytes()

    again = postgresql_server.new_database() if at_url else None
    words = ("--home", tmp_path / "restored", "--json")
    with pytest.MonkeyPatch.context() as patch:
        if again:
            patch.setenv("MEDSIGLIP_DATABASE_URL", again)
        restored = run(*words, "backup", "restore", folder).json
        assert restored == {**made, "home": str(tmp_path / "restored")}
        assert run(*words, "index", "verify").json["ok"]
        held = {one["study_instance_uid"] for one in run(*words, "study", "list").json["studies"]}
        assert before <= held
        assert len(held) == made["studies"]
        assert run(*words, "audit", "verify").json["ok"]
        more = run(*words, "ingest", phantoms.dicom).json
        assert more["studies"] == len(phantoms.by_study)
        assert run(*words, "index", "verify").json["ok"]
    if again:
        assert not (tmp_path / "restored" / "catalog.db").exists()
        postgresql_server.drop(again)


def test_a_backup_holds_every_row_of_every_table(
    own_home: Home, tmp_path: Path, url: str | None, phantoms: Phantoms
) -> None:
    """The catalogue of a small archive with everything in it, from either database."""
    home = own_home.path
    own_home.run("probe", "train", "mine", "--labels", phantoms.labels, "--level", "study")
    own_home.run("report", "draft", phantoms.with_label("melanoma")[0])
    with CaseIndex.open(home) as index:
        index.jobs.submit("ingest", {"paths": ["/a/\udcff"], "nothing": None})
        index.api_keys.create("one", ["read"])
    if url is not None:  # the same archive on PostgreSQL, by way of a backup
        with Archive(home) as archive:
            archive.back_up(tmp_path / "first")
        home = tmp_path / "home on a server"
        with Archive(home, database_url=url) as archive:
            archive.restore_backup(tmp_path / "first")
    with Archive.from_settings(read_settings(home=home, database_url=url)) as archive:
        archive.back_up(tmp_path / "backup")
        expected = rows_of(url or f"sqlite:///{home / 'catalog.db'}")
    found = rows_of(f"sqlite:///{tmp_path / 'backup' / 'catalog.db'}")
    assert all(expected[name] for name in ("probes", "drafts", "jobs", "api_keys", "labels", "audit_events"))
    assert found == expected
    assert verify_backup(tmp_path / "backup").ok


def test_uploads_and_previews_are_in_a_backup(own_home: Home, tmp_path: Path, phantoms: Phantoms) -> None:
    home = own_home.path
    study = sorted(phantoms.dicom.iterdir())[0]
    shutil.copytree(study, home / "received" / "waiting")
    (home / "received" / "arriving-now").mkdir()
    (home / "received" / "arriving-now" / "1.dcm").touch()
    with CaseIndex.open(home) as index:
        image_id = next(iter(index.images_of(next(iter(phantoms.by_study))))).image_id
        index.jobs.submit("ingest", {"received": str(home / "received" / "waiting")})
    (home / "previews").mkdir(exist_ok=True)
    (home / "previews" / f"{image_id}.jpg").write_bytes(b"picture")
    (home / "previews" / "999999.jpg").write_bytes(b"a picture of nobody")
    assert own_home.run("backup", tmp_path / "backup").json["ok"]
    held = {str(path.relative_to(tmp_path / "backup")) for path in (tmp_path / "backup").rglob("*.*")}
    assert {f"received/waiting/{path.relative_to(study)}" for path in study.rglob("*.dcm")} <= held
    assert f"previews/{image_id}.jpg" in held
    assert not any("arriving-now" in name or "999999" in name or name.startswith("faiss") for name in held)


def test_what_is_compacted_while_files_are_copied_costs_another_round(
    own_home: Home, tmp_path: Path, phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each copy of the catalogue, a study is forgotten and shards are merged."""
    real, left = backup_module.copy_catalogue, sorted(phantoms.by_study)[:3]

    def then_change(*given: Any) -> None:
        real(*given)
        if left:
            own_home.run("forget", "--study", left.pop())
            own_home.run("index", "compact")

    monkeypatch.setattr(backup_module, "copy_catalogue", then_change)
    made = own_home.run("backup", tmp_path / "backup").json
    assert made["ok"]
    assert made["studies"] == len(phantoms.by_study) - 3
    assert verify_backup(tmp_path / "backup").ok
    assert run("--home", tmp_path / "again", "--json", "backup", "restore", tmp_path / "backup").json["ok"]
    assert run("--home", tmp_path / "again", "--json", "index", "verify").json["ok"]


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_catalogue(backup: Path) -> None:
    """Another database under the same name, with its size and hash in the list."""
    path = backup / "catalog.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE home SET identity = 'x'")
    connection.close()
    one = backup_module.listed_file(backup, "catalog.db")
    listing = [json.loads(line) for line in (backup / "files.jsonl").read_text().splitlines()]
    changed = [
        {**entry, "bytes": one.bytes, "sha256": one.sha256} if entry["path"] == one.path else entry
        for entry in listing
    ]
    (backup / "files.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in changed))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a vector file": (lambda b: spoil(next(b.rglob("*.parquet"))), "is not as it was"),
    "a vector file gone": (lambda b: next(b.rglob("*.parquet")).unlink(), "is gone"),
    "catalogue": (lambda b: spoil(b / "catalog.db"), "catalog.db is not as it was"),
    "another catalogue": (other_catalogue, "another archive"),
    "key": (lambda b: spoil(b / "secret.key"), "secret.key"),
    "list": (
        lambda b: (b / "files.jsonl").write_text(
            "".join((b / "files.jsonl").read_text().splitlines(keepends=True)[:-1])
        ),
        "files",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_found_and_not_restored(own_home: Home, tmp_path: Path, damage: str) -> None:
    backup = tmp_path / "backup"
    assert own_home.run("backup", backup).json["ok"]
    change, said = DAMAGES[damage]
    change(backup)
    checked = run("--json", "backup", "verify", backup)
    assert checked.code == 1
    answer = json.loads(checked.out)
    assert not answer["ok"]
    assert any(said in problem for problem in answer["problems"])
    assert said in run("backup", "verify", backup).out.replace("\n", " ")
    assert run("--home", tmp_path / "x", "--json", "backup", "restore", backup).error["code"] == "bad-backup"
    assert not (tmp_path / "x").exists()


def test_what_is_no_backup_or_in_the_way_is_refused(own_home: Home, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert run("--json", "backup", "verify", tmp_path / "nothing").error["code"] == "no-backup"
    assert run("--json", "backup", "verify", own_home.path).error["code"] == "no-backup"
    assert own_home.run("backup", backup).json["ok"]
    assert own_home.run("backup", backup).error["code"] == "backup-exists"
    assert own_home.run("backup", own_home.path / "inside").error["code"] == "bad-backup-folder"
    assert own_home.run("backup", "restore", backup).error["code"] == "backup-exists"
    assert (
        run("--home", tmp_path / "no home", "--json", "backup", tmp_path / "y").error["code"] == "no-archive"
    )
    newer = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps({**newer, "format": 99}))
    assert run("--json", "backup", "verify", backup).error["code"] == "newer-backup"
    (backup / "backup.json").write_text("[]")
    assert run("--json", "backup", "verify", backup).error["code"] == "bad-backup"
    for words in (["verify"], ["a", "b"], ["verify", "a", "b"]):
        assert run("--home", own_home.path, "--json", "backup", *words).code == 2
    os.makedirs(tmp_path / "empty")
    assert own_home.run("backup", tmp_path / "empty").json["ok"]


def test_a_list_that_leads_out_of_the_backup_is_refused(own_home: Home, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert own_home.run("backup", backup).json["ok"]
    with (backup / "files.jsonl").open("a") as stream:
        stream.write(json.dumps({"path": "../secret", "bytes": 0, "sha256": ""}) + "\n")
    assert run("--json", "backup", "verify", backup).error["code"] == "bad-backup"


def test_a_database_that_holds_an_archive_is_not_restored_into(
    own_home: Home, tmp_path: Path, postgresql_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_home.run("backup", tmp_path / "backup").json["ok"]
    url = postgresql_server.new_database()
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", url)
    with CaseIndex.open(tmp_path / "other", database_url=url):
        pass
    refused = run("--home", tmp_path / "new", "--json", "backup", "restore", tmp_path / "backup")
    assert refused.error["code"] == "database-not-empty"
    assert not (tmp_path / "new").exists()
    postgresql_server.drop(url)


def test_a_failed_backup_leaves_nothing(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_module, "listed_file", fail)
    assert own_home.run("backup", tmp_path / "backups" / "one").error["code"] == "disk-full"
    assert list((tmp_path / "backups").iterdir()) == []
