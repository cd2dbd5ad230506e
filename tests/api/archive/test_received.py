"""What a killed server leaves of uploads goes to the trash at the next start; nothing else goes anywhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.received import arriving, discard_unused, mark_arriving, sweep
from medsiglip.api.http import uploads
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.jobs import MAX_ATTEMPTS, Job

DAY = 86_400.0


def upload(home: Path, name: str, age: float, *, has_job: bool = False) -> Path:
    """The folder of an upload that began so many seconds ago."""
    folder = home / "received" / name
    folder.mkdir(parents=True)
    (folder / "000000.dcm").write_bytes(b"x")
    if not has_job:
        arriving(folder).touch()
        os.utime(arriving(folder), (time.time() - age,) * 2)
    os.utime(folder, (time.time() - age,) * 2)
    return folder


@pytest.mark.parametrize("moved", [False, True])
def test_only_old_uploads_that_never_got_a_job_go(tmp_path: Path, moved: bool) -> None:
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        upload(home, "lost", 3 * DAY)
        upload(home, "arriving", 60.0)
        waiting = upload(home, "waiting", 3 * DAY, has_job=True)
        # Killed between the job and the end of the request.
        told = upload(home, "told", 3 * DAY)
        for name in ("abc.input.0.png", "def.input.1.dcm"):
            picture = home / "received" / name
            picture.write_bytes(b"x")
            os.utime(picture, (time.time() - 3 * DAY,) * 2)
        os.utime(home / "received" / "def.input.1.dcm")
        for folder in (waiting, told):
            index.jobs.submit("ingest", {"paths": [str(folder)], "received": str(folder)})
        index.jobs.submit("ingest", {"paths": ["/data"], "received": None})
    if moved:
        home = home.rename(tmp_path / "elsewhere")
    with CaseIndex.open(home) as index:
        sweep(index, DAY)
    kept = ["arriving", "arriving.arriving", "def.input.1.dcm", "told", "waiting"]
    assert sorted(one.name for one in (home / "received").iterdir()) == kept
    assert (home / "received" / "waiting" / "000000.dcm").exists()
    trashed = {path.name for path in (home / "trash").rglob("*")}
    assert {"lost", "lost.arriving", "told.arriving", "abc.input.0.png"} <= trashed


def test_an_upload_that_this_catalogue_has_no_job_for_stays(tmp_path: Path) -> None:
    """As after a backup of the catalogue was restored: the job was, and its files are somebody's."""
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        folder = upload(home, "accepted", 300 * DAY, has_job=True)
        (home / "received" / "left.zip").write_bytes(b"x")
        os.utime(home / "received" / "left.zip", (time.time() - 300 * DAY,) * 2)
        sweep(index, DAY)
    assert (folder / "000000.dcm").exists()
    assert (home / "received" / "left.zip").exists()


def test_a_home_without_uploads_is_left_as_it_is(tmp_path: Path) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        sweep(index, 0.0)
        assert not (tmp_path / "home" / "received").exists()


@pytest.mark.parametrize(("marker", "stays"), [("86400.0", True), ("inf", True), ("60", False)])
@pytest.mark.parametrize("own", [30.0, 900.0])
def test_the_limit_of_the_server_that_receives_an_upload_counts_where_it_is_longer(
    tmp_path: Path, marker: str, stays: bool, own: float
) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        folder = upload(index.home, "arriving", 0.0)
        mark_arriving(folder, float(marker))
        os.utime(arriving(folder), (time.time() - 3600,) * 2)
        sweep(index, own)
    assert folder.exists() == arriving(folder).exists() == stays


@pytest.mark.parametrize("marker", [b"", b"nan", b"\xff", b"a day"])
def test_a_marker_without_a_limit_has_that_of_the_server_that_looks(tmp_path: Path, marker: bytes) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        folder = upload(index.home, "arriving", 0.0)
        arriving(folder).write_bytes(marker)
        os.utime(arriving(folder), (time.time() - 3600,) * 2)
        sweep(index, DAY)
        assert folder.exists()
        sweep(index, 60.0)
        assert not folder.exists()


def test_an_upload_that_runs_is_not_swept_by_a_server_with_a_shorter_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    swept: list[Path] = []

    def two_hours_later(folder: Path, _size: int, _settings: Settings) -> None:
        os.utime(arriving(folder), (time.time() - 7200,) * 2)
        with CaseIndex.open(home) as index:
            sweep(index, 60.0)
        swept.append(folder)

    monkeypatch.setattr(uploads, "check_room", two_hours_later)
    app = create_app(Settings(home=home, upload_seconds=21_600.0))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        sent = client.post("/v1/ingest", files=[("file", ("a.dcm", b"x"))])
    assert sent.status_code == 202
    assert [path.name for path in swept[0].iterdir()] == ["a.dcm"]


def ended(index: CaseIndex, folder: Path, result: dict[str, int]) -> Job:
    job = index.jobs.submit("ingest", {"paths": [str(folder)], "received": str(folder)})
    claimed = index.jobs.claim("worker", ["ingest"])
    assert claimed is not None
    assert claimed.id == job.id
    assert index.jobs.finish(claimed, result)
    return index.jobs.get(job.id)


def test_files_that_their_job_says_are_in_the_index_stay_though_the_index_names_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        folder = upload(home, "one", 0.0, has_job=True)
        discard_unused(index, ended(index, folder, {"files": 1, "files_embedded": 1, "files_unchanged": 0}))
        assert (folder / "000000.dcm").exists()
        refused = upload(home, "two", 0.0, has_job=True)
        discard_unused(index, ended(index, refused, {"files": 1, "files_embedded": 0, "files_unchanged": 0}))
        assert not refused.exists()


def test_files_of_a_job_that_has_not_ended_or_lie_elsewhere_stay(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        folder = upload(home, "one", 0.0, has_job=True)
        discard_unused(index, index.jobs.submit("ingest", {"received": str(folder)}))
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "mine.dcm").write_bytes(b"x")
        for place in (elsewhere, home):
            claimed = index.jobs.submit("ingest", {"received": str(place)})
            discard_unused(index, index.jobs.cancel(claimed.id))
        assert (folder / "000000.dcm").exists()
        assert (elsewhere / "mine.dcm").exists()
        assert (home / "catalog.db").exists()


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_the_upload_of_a_job_that_ended_without_its_worker_goes(tmp_path: Path, ended: str) -> None:
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        parameters = []
        for name in ("ended", "waits"):
            folder = str(upload(home, name, DAY, has_job=True))
            parameters.append({"paths": [folder], "received": folder, "files": 1})
        job = index.jobs.submit("ingest", parameters[0])
        for number in range(MAX_ATTEMPTS):
            assert index.jobs.claim(f"killed{number}", ["ingest"], lease_seconds=-1) is not None
            if ended == "cancelled":
                index.jobs.cancel(job.id)
                break
        assert index.jobs.claim("another", ["ingest"]) is None
        assert index.jobs.get(job.id).status == ended
        index.jobs.submit("ingest", parameters[1])
        sweep(index, DAY)
        assert [one.name for one in (home / "received").iterdir()] == ["waits"]
