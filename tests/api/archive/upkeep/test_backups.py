"""Backups made while an ingest runs, on SQLite and PostgreSQL: whole, checked, restored, refused when
damaged.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.upkeep.backups import verify_backup
from medsiglip.api.settings import read_settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.storage.backups import backup as backup_module
from medsiglip.ingest.engines import local
from medsiglip.ingest.run import commits
from tests.api.archive.conftest import NewCatalogue, rows_of
from tests.api.conftest import Home, Phantoms, run
from tests.waiting import eventually


def held(archive: Archive) -> set[str]:
    return {one.study_instance_uid for one in archive.index.studies()}


@pytest.mark.long(every=2)
def test_a_backup_made_during_an_ingest_restores_to_a_whole_archive(
    tmp_path: Path, phantoms: Phantoms, new_catalogue: NewCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingest commits before and after the catalogue is copied; then shards are merged."""
    monkeypatch.setattr(commits, "COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr(local, "ENCODED_TOGETHER", 1)
    home, folder, url = tmp_path / "home", tmp_path / "backups" / "monday", new_catalogue()
    patients = [one for one in sorted(phantoms.dicom.iterdir()) if len(list(one.rglob("*.dcm"))) < 4][:8]
    steps: list[str] = []
    committed: list[set[str]] = []
    with Archive(home, database_url=url) as archive, ThreadPoolExecutor(1) as thread:
        archive.make()
        ingest = thread.submit(archive.ingest, patients)

        def after_commits(stage: str, _done: int, _total: int | None) -> None:
            """Three before the catalogue is copied, one before the first file is."""
            steps.append(stage)
            if len(steps) <= 2:
                enough = len(held(archive)) + 1 if committed else 3
                eventually(lambda: ingest.done() or len(held(archive)) >= enough, 300)
                assert not ingest.done()
                committed.append(held(archive))

        with Archive(home, database_url=url) as other:
            made = other.back_up(folder, on_progress=after_commits).model_dump(mode="json", exclude_none=True)
            other.index.compact()  # takes away what the backup has named
        total = ingest.result().studies
    assert steps[:3] == ["catalogue", "files", "files"]
    assert made["ok"]
    assert len(committed[0]) <= made["studies"] < total
    assert run("--json", "backup", "verify", folder).json == made
    assert [path.name for path in folder.parent.iterdir()] == ["monday"]
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (folder / "secret.key").read_bytes() == (home / "secret.key").read_bytes()

    again = new_catalogue()
    if again is not None:
        monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", again)
    words = ("--home", tmp_path / "restored", "--json")
    restored = run(*words, "backup", "restore", folder).json
    assert restored == {**made, "home": str(tmp_path / "restored")}
    assert (tmp_path / "restored" / "catalog.db").exists() == (again is None)
    assert run(*words, "index", "verify").json["ok"]
    uids = {one["study_instance_uid"] for one in run(*words, "study", "list").json["studies"]}
    assert committed[0] <= uids
    assert len(uids) == made["studies"]
    assert run(*words, "audit", "verify").json["ok"]
    assert run(*words, "ingest", *patients).json["studies"] == total
    assert run(*words, "index", "verify").json["ok"]


def test_a_backup_holds_every_row_of_every_table(
    own_home: Home, tmp_path: Path, new_catalogue: NewCatalogue, phantoms: Phantoms
) -> None:
    """The catalogue of a small archive with everything in it, from either database."""
    home, url = own_home.path, new_catalogue()
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
        expected = rows_of(url, home)
    found = rows_of(None, tmp_path / "backup")
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
