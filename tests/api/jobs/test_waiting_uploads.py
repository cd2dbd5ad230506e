"""Uploads that wait are ingested together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.received import count_files
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job
from medsiglip.index.service.waiting_uploads import FEW_FILES
from medsiglip.ingest.run import commits
from tests.api.jobs.conftest import SLICES, Counted, folder_of, store
from tests.clocks import Clock
from tests.statements import statements


@pytest.fixture
def archive(uploads_archive: Archive) -> Archive:
    return uploads_archive


def result(archive: Archive, job: Job) -> Any:
    return archive.index.jobs.get(job.id).result


def states(archive: Archive, jobs: Sequence[Job]) -> list[tuple[str, int]]:
    """Status and attempts of each job."""
    now = [archive.index.jobs.get(job.id) for job in jobs]
    return [(job.status, job.attempts) for job in now]


def test_a_series_that_waits_instance_by_instance_is_rendered_once(
    archive: Archive, slices: list[Path]
) -> None:
    jobs = [store(archive, path) for path in slices]
    encoder, works = Counted(archive), Worker(archive)
    works.run(once=True)
    assert encoder.images == SLICES
    for job in jobs:
        stored = archive.index.jobs.get(job.id)
        assert (stored.status, stored.done, stored.total) == ("done", 1, 1)
        names = ("files", "files_embedded", "studies", "instances", "images", "embedded")
        counts = {name: stored.result[name] for name in names}
        assert counts == dict.fromkeys(names, 1)
        assert (stored.result["series"], stored.result["skipped"]) == (1, [])
    assert archive.index.info().images == SLICES
    assert archive.index.verify().ok


def test_what_comes_while_others_are_ingested_is_taken_together_next(
    archive: Archive, slices: list[Path]
) -> None:
    """The first alone, all others in a second run: not 1 + 2 + ... images are encoded."""
    waiting = list(slices[1:])

    def more_come() -> None:
        while waiting:
            store(archive, waiting.pop())

    store(archive, slices[0])
    encoder, works = Counted(archive, more_come), Worker(archive)
    works.run(once=True)
    assert encoder.images == 1 + SLICES
    assert archive.index.info().images == SLICES


def test_a_refused_file_and_another_sender_keep_their_own_reports(
    archive: Archive, slices: list[Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(slices[1].read_bytes()[:-100])
    good = store(archive, slices[0])
    bad, both, other = (
        store(archive, cut),
        store(archive, cut, slices[3], count=2),
        store(archive, slices[2], key_id="another"),
    )
    Worker(archive).run(once=True)
    assert result(archive, good)["quarantined"] == []
    assert [one["code"] for one in result(archive, bad)["quarantined"]] == ["truncated"]
    assert (result(archive, bad)["files"], result(archive, bad)["files_embedded"]) == (1, 0)
    assert [result(archive, both)[name] for name in ("files", "files_embedded", "series")] == [2, 1, 1]
    assert result(archive, other)["files_embedded"] == 1
    assert not folder_of(bad).exists()
    assert [path.name for path in folder_of(both).iterdir()] == ["000001.dcm"]
    assert folder_of(good).is_dir()


def test_a_file_that_is_in_the_index_already_is_unchanged_in_its_own_report(
    archive: Archive, photographs: list[Path]
) -> None:
    store(archive, *photographs[:2], count=2)
    Worker(archive).run(once=True)
    sent = (photographs[2:3], photographs[:1], photographs[1:4:2])
    jobs = [store(archive, *files, count=len(files)) for files in sent]
    Worker(archive).run(once=True)
    names = ("files_embedded", "files_unchanged", "instances", "images", "embedded", "unchanged")
    found = [[result(archive, job)[name] for name in names] for job in jobs]
    assert found == [[1, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 1], [1, 1, 2, 2, 1, 1]]
    assert all(folder_of(job).is_dir() for job in jobs)


def test_a_home_that_keeps_no_paths_keeps_no_files_of_uploads(
    slices: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_PHI", "strict")
    with Archive(tmp_path / "home") as archive:
        Counted(archive)
        archive.ingest([slices[-1]], phi="strict")
        jobs = [store(archive, path) for path in slices[:3]]
        Worker(archive).run(once=True)
        assert states(archive, jobs) == [("done", 1), ("done", 0), ("done", 0)]
        assert [result(archive, job)["images"] for job in jobs] == [1] * 3
        assert not any(folder_of(job).exists() for job in jobs)
        assert archive.index.info().images == 4


def test_held_uploads_wait_on_when_their_run_ends_early(archive: Archive, slices: list[Path]) -> None:
    jobs = [store(archive, path) for path in slices[:4]]
    works = Worker(archive)
    Counted(archive, lambda: works.stop())
    works.run()
    assert states(archive, jobs) == [("queued", 0)] * 4
    Counted(archive)
    again = Worker(archive)
    again.run(once=True)
    assert [status for status, _ in states(archive, jobs)] == ["done"] * 4
    assert sum(result(archive, job)["files"] for job in jobs) == 4


def cancelled(archive: Archive, job: Job) -> str:
    """Cancel a job as a client does; returns its status in the answer."""
    with TestClient(create_app(archive.settings), base_url="http://127.0.0.1") as client:
        return str(client.delete(f"/v1/jobs/{job.id}").raise_for_status().json()["status"])


def test_an_upload_that_is_cancelled_while_it_is_ingested_keeps_the_file_of_its_image(
    archive: Archive, slices: list[Path]
) -> None:
    jobs = [store(archive, path) for path in slices[:3]]
    answers: list[str] = []

    def cancel() -> None:
        answers.append(cancelled(archive, jobs[1]))
        assert list(folder_of(jobs[1]).iterdir())

    Counted(archive, cancel)
    Worker(archive).run(once=True)
    assert answers == ["queued"]
    assert states(archive, jobs) == [("done", 1), ("done", 0), ("done", 0)]
    assert archive.index.info().images == 3
    assert all(list(folder_of(job).iterdir()) for job in jobs)


def test_an_upload_that_is_cancelled_while_it_is_held_ends_when_it_is_released(
    archive: Archive, photographs: list[Path], eager: Clock
) -> None:
    """With nothing of it in the index: its files are deleted."""
    jobs = [store(archive, path) for path in photographs[:3]]
    works = Worker(archive, clock=eager)

    def cancel() -> None:
        cancelled(archive, jobs[2])
        works.stop()

    Counted(archive, cancel)
    works.run()
    assert states(archive, jobs) == [("queued", 0), ("queued", 0), ("cancelled", 0)]
    assert [folder_of(job).exists() for job in jobs] == [True, True, False]
    assert archive.index.jobs.get(jobs[2].id).finished_at is not None


@pytest.mark.parametrize("ends", ["done", "queued"])
def test_an_outage_while_uploads_are_released_is_no_failure_of_their_run(
    archive: Archive, slices: list[Path], monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    jobs = [store(archive, path) for path in slices[:2]]
    works = Worker(archive)

    def away(_ids: Sequence[str]) -> list[str]:
        works.stop()  # so that the worker does not wait for the end of the hold
        raise CatalogError("database-unreachable", "It does not answer.")

    monkeypatch.setattr(archive.index.jobs.waiting_uploads, "release", away)
    Counted(archive, works.stop if ends == "queued" else lambda: None)
    works.run()
    state = archive.index.jobs.get(jobs[0].id)
    assert (state.status, state.attempts, state.error) == (ends, int(ends == "done"), None)
    assert works.ended == {"done" if ends == "done" else "handed back": 1}


def test_results_of_all_uploads_of_a_run_are_stored_as_every_database_takes_them(
    archive: Archive, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header may hold NUL, which PostgreSQL refuses, and a report may quote it."""
    jobs = [store(archive, path) for path in slices[:3]]
    ingest = archive.ingest_apart

    def with_nul(folders: Any, **options: Any) -> Any:
        quoting = {"warnings": ("a\0b",)}
        return {
            name: one._replace(report=one.report.model_copy(update=quoting))
            for name, one in ingest(folders, **options).items()
        }

    monkeypatch.setattr(archive, "ingest_apart", with_nul)
    Worker(archive).run(once=True)
    assert [status for status, _ in states(archive, jobs)] == ["done"] * 3
    assert [result(archive, job)["warnings"] for job in jobs] == [["a\ufffdb"]] * 3


@pytest.mark.parametrize("count", [None, FEW_FILES + 1])
def test_a_large_upload_holds_no_small_ones(
    archive: Archive, slices: list[Path], photographs: list[Path], eager: Clock, count: int | None
) -> None:
    """They are done when the large one has had its turn, long before it ends."""
    large = store(archive, *photographs[:6], count=count)
    small = [store(archive, path) for path in slices[:2]]
    seen: list[set[str]] = []

    def time_passes() -> None:
        eager.now += 15.0
        seen.append({status for status, _ in states(archive, small)})

    Counted(archive, time_passes)
    Worker(archive, clock=eager).run(once=True)
    assert {"done"} in seen
    assert result(archive, large)["files"] == 6
    assert [result(archive, job)["files"] for job in small] == [1, 1]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_statements_of_a_run_do_not_grow_with_the_waiting_uploads(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    photographs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    database: str,
) -> None:
    if database == "postgresql":
        monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", request.getfixturevalue("url"))
    monkeypatch.setattr(commits, "COMMIT_EVERY_S", float("inf"))
    for module in ("engines.local", "workers.unit_rendering"):  # no process is needed for these
        monkeypatch.setattr(f"medsiglip.ingest.{module}.FEW_FILES", 30)
    found = {}
    with Archive(tmp_path / "home") as archive:
        archive.make()
        Counted(archive)
        store(archive, photographs[0])
        Worker(archive).run(once=True)
        for count in (3, 30):
            files = photographs[1:4] if count == 3 else photographs[4:34]
            jobs = [store(archive, path) for path in files]
            with statements() as found[count]:
                Worker(archive).run(once=True)
            assert [result(archive, job)["files_embedded"] for job in jobs] == [1] * count
    assert found[30].texts == found[3].texts
    assert found[30].count == found[3].count


def test_files_are_counted_only_as_far_as_few(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.dcm").touch()
    assert count_files(folder) == 3
    assert count_files(folder / "0.dcm") == 1
    (folder / "more.zip").touch()
    assert count_files(tmp_path) is None
    assert count_files(folder / "more.zip") is None
    (folder / "more.zip").unlink()
    (folder / "link").symlink_to(tmp_path)
    assert count_files(tmp_path) is None
    (folder / "link").unlink()
    for number in range(FEW_FILES):
        (folder / f"{number}.png").touch()
    assert count_files(tmp_path) is None
    assert count_files(tmp_path / "nowhere") == 1
