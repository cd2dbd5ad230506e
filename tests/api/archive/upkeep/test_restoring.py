"""What a restored archive finds of its uploads, and what an interrupted or failed restore leaves: nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pydicom
import pytest
from PIL import Image
from sqlalchemy import create_engine, inspect

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pictures.previews import preview
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job
from medsiglip.index.storage.backups import backup_check
from tests.api.archive.conftest import NewCatalogue, rows_of
from tests.api.conftest import Home, Phantoms

pytestmark = pytest.mark.long


def upload(archive: Archive, seen_as: Path, *files: Path, metadata: str | None = None) -> Job:
    """Submit what an upload to a service submits that sees the archive's home as `seen_as`."""
    folder = seen_as / "received" / uuid4().hex
    folder.mkdir(parents=True)
    copies = [shutil.copy(file, folder) for file in files]
    parameters: dict[str, Any] = {"paths": [str(folder)], "metadata": None, "received": str(folder)}
    if metadata is not None:
        named = folder / metadata
        parameters |= {"paths": [one for one in copies if one != str(named)], "metadata": str(named)}
    return archive.index.jobs.submit("ingest", parameters, key_id="pacs")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A picture, and a table that says whose it is."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "one.png")
    (tmp_path / "table.csv").write_text("path,patient_id\n*.png,one\n")
    return [tmp_path / "one.png", tmp_path / "table.csv"]


@pytest.mark.parametrize(
    ("new_catalogue", "phi"),
    [("sqlite", "pseudonymous"), ("postgresql", "pseudonymous"), ("sqlite", "strict")],
    indirect=["new_catalogue"],
)
def test_uploads_are_found_where_an_archive_is_restored(
    tmp_path: Path, phantoms: Phantoms, pictures: list[Path], new_catalogue: NewCatalogue, phi: Any
) -> None:
    """Uploads that came by a link to the home and by its own path: one is in the index, with a file that was
    refused, and three wait.
    """
    home, again, link = tmp_path / "first" / "home", tmp_path / "second" / "home", tmp_path / "l\udcffnk"
    link.symlink_to(home)
    studies = [sorted(path.rglob("*.dcm"))[:1] for path in sorted(phantoms.dicom.iterdir())[:4]]
    (tmp_path / "notes.txt").write_text("no picture")
    uid = str(pydicom.dcmread(studies[0][0], stop_before_pixels=True).StudyInstanceUID)
    with Archive(home, database_url=new_catalogue()) as archive:
        archive.ingest(studies[3], phi=phi)
        upload(archive, link, *studies[0], tmp_path / "notes.txt")
        Worker(archive).run(once=True)
        waiting = [
            upload(archive, link, *studies[1]),
            upload(archive, home, *studies[2]),
            upload(archive, home, *pictures, metadata="table.csv"),
        ]
        held = len(archive.index.studies())
        assert archive.back_up(tmp_path / "backup").ok
    shutil.rmtree(home)

    url = new_catalogue()
    with Archive(again, database_url=url) as archive:
        assert archive.restore_backup(tmp_path / "backup").ok
        Worker(archive).run(once=True)
        ended = [archive.index.jobs.get(job.id) for job in waiting]
        assert [(job.status, job.error) for job in ended] == [("done", None)] * 3
        assert len(archive.index.studies()) == held + 3
        if phi != "strict":
            [image] = archive.index.images_of(uid)
            assert preview(archive, archive.index.get(image.image_id), 32).startswith(b"\x89PNG")
        rows = rows_of(url, again)
        told = {name: repr(found) for name, found in rows.items() if name != "audit_events"}
        assert {name for name, found in told.items() if "first" in found or "nk/received" in found} == set()
        assert f"{again}/received/" in told["jobs"]
        assert (f"{again}/received/" in told["files"]) == (phi != "strict")
        assert archive.index.verify().ok


def test_an_interrupted_restore_leaves_nothing_and_can_be_repeated(
    own_home: Home, tmp_path: Path, new_catalogue: NewCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is interrupted at its first file, at its last, and when every row is written."""
    backup, home, url = tmp_path / "backup", tmp_path / "restored" / "home", new_catalogue()
    own_home.run("backup", backup)

    def stop_at_a_file(number: int) -> Any:
        seen: list[int] = []

        def step(_stage: str, _done: int, _total: int | None) -> None:
            seen.append(1)
            if len(seen) == number:
                raise KeyboardInterrupt

        return step

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    files = len((backup / "files.jsonl").read_text().splitlines())  # read once before, to be verified
    for number in (files + 1, 2 * files - (url is not None), None):
        if number is None:
            monkeypatch.setattr(backup_check, "move_uploads", stop)
        with Archive(home, database_url=url) as archive, pytest.raises(KeyboardInterrupt):
            archive.restore_backup(backup, on_progress=stop_at_a_file(number or -1))
        assert list(home.parent.iterdir()) == []
        if url is not None:
            engine = create_engine(url)
            assert inspect(engine).get_table_names() == []
            engine.dispose()
    monkeypatch.undo()
    with Archive(home, database_url=url) as archive:
        assert archive.restore_backup(backup).ok
        assert archive.index.verify().ok


def test_a_folder_that_is_there_and_empty_is_filled_where_it_is(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a mount point, which nothing can replace."""
    backup, home = tmp_path / "backup", tmp_path / "restored"
    backup.mkdir()
    home.mkdir()
    places = [backup.stat().st_ino, home.stat().st_ino]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with Archive(own_home.path) as archive:
        with pytest.raises(KeyboardInterrupt):
            archive.back_up(backup, on_progress=stop)
        assert list(backup.iterdir()) == []
        assert archive.back_up(backup).ok
    with Archive(home) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(backup_check, "move_uploads", stop)
            with pytest.raises(KeyboardInterrupt):
                archive.restore_backup(backup)
        assert list(home.iterdir()) == []
        assert archive.restore_backup(backup).ok
        assert archive.index.verify().ok
    assert [backup.stat().st_ino, home.stat().st_ino] == places
    assert not [path for path in (*backup.iterdir(), *home.iterdir()) if "unfinished" in path.name]


@pytest.mark.parametrize("new_catalogue", ["postgresql"], indirect=True)
def test_a_database_that_holds_an_archive_is_not_restored_into(
    own_home: Home, tmp_path: Path, new_catalogue: NewCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another process fills it while files are copied."""
    own_home.run("backup", tmp_path / "backup")
    url = new_catalogue()
    real = backup_check._copy_files

    def meanwhile(*given: Any, **named: Any) -> None:
        real(*given, **named)
        with CaseIndex.open(tmp_path / "other", database_url=url):
            pass

    monkeypatch.setattr(backup_check, "_copy_files", meanwhile)
    for _ in range(2):
        with Archive(tmp_path / "new", database_url=url) as archive, pytest.raises(CatalogError) as caught:
            archive.restore_backup(tmp_path / "backup")
        assert caught.value.code == "database-not-empty"
        assert not (tmp_path / "new").exists()
    with CaseIndex.open(tmp_path / "other", database_url=url) as index:
        assert index.info().studies == 0
