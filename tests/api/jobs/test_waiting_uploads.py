"""Uploads that wait are ingested together, and small jobs do not wait behind large ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.received import count_files
from medsiglip.api.jobs import turns
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.service.jobs import Job
from medsiglip.index.service.waiting_uploads import FEW_FILES
from medsiglip.ingest.run import commits
from tests.api.conftest import Phantoms

SLICES = 20


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", "/")
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", server.new_database())
    with Archive(tmp_path / "home") as opened:
        opened.make()
        yield opened


@pytest.fixture
def slices(phantoms: Phantoms, tmp_path: Path) -> list[Path]:
    """The files of one CT series, `SLICES` of them."""
    by_series: dict[str, list[Path]] = {}
    for path in sorted(phantoms.dicom.rglob("*.dcm")):
        dataset = pydicom.dcmread(path, specific_tags=["Modality", "SeriesInstanceUID"])
        if dataset.Modality == "CT":
            by_series.setdefault(dataset.SeriesInstanceUID, []).append(path)
    longest = max(by_series.values(), key=len)
    assert len(longest) >= SLICES
    return longest[:SLICES]


class Counted:
    """The archive's encoder; counts the images that it encodes, and calls `at_use` at each use."""

    def __init__(self, archive: Archive, at_use: Callable[[], None] = lambda: None) -> None:
        self._encoder = archive.encoder
        self._at_use = at_use
        self.images = 0
        archive.__dict__["encoder"] = self

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        self.images += len(images)
        self._at_use()
        return self._encoder.encode_images(images)


def store(archive: Archive, file: Path, key_id: str | None = "pacs") -> Job:
    """What a STOW request of one instance submits."""
    number = len(list((archive.home / "received").glob("*"))) if (archive.home / "received").is_dir() else 0
    folder = archive.home / "received" / f"{number:032x}"
    folder.mkdir(parents=True)
    shutil.copy(file, folder)
    parameters = {"paths": [str(folder)], "metadata": None, "received": str(folder), "files": 1}
    return archive.index.jobs.submit("ingest", parameters, key_id=key_id)


def result(archive: Archive, job: Job) -> Any:
    return archive.index.jobs.get(job.id).result


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
        counts = {name: stored.result[name] for name in ("files", "files_embedded", "images", "embedded")}
        assert counts == {"files": 1, "files_embedded": 1, "images": 1, "embedded": 1}
        assert (stored.result["series"], stored.result["skipped"]) == (1, [])
    assert archive.index.info().images == SLICES
    assert archive.index.verify().ok


def test_what_comes_while_others_are_ingested_is_taken_together_next(
    archive: Archive, slices: list[Path]
) -> None:
    """The first alone, all others in a second run: 1 + 20 images are encoded, not 1 + 2 + ... + 20."""
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
    archive: Archive, slices: list[Path]
) -> None:
    good = store(archive, slices[0])
    cut = slices[1].with_name("cut.dcm")
    cut.write_bytes(slices[1].read_bytes()[:-100])
    bad, other = store(archive, cut), store(archive, slices[2], key_id="another")
    Worker(archive).run(once=True)
    cut.unlink()
    assert result(archive, good)["quarantined"] == []
    assert [one["code"] for one in result(archive, bad)["quarantined"]] == ["truncated"]
    assert (result(archive, bad)["files"], result(archive, bad)["files_embedded"]) == (1, 0)
    assert result(archive, other)["files_embedded"] == 1
    assert not Path(archive.index.jobs.get(bad.id).parameters["received"]).exists()
    assert Path(archive.index.jobs.get(good.id).parameters["received"]).is_dir()


def test_held_uploads_wait_on_when_their_run_ends_early(archive: Archive, slices: list[Path]) -> None:
    jobs = [store(archive, path) for path in slices[:4]]
    works = Worker(archive)
    Counted(archive, lambda: works.stop())
    works.run()
    assert [archive.index.jobs.get(job.id).status for job in jobs] == ["queued"] * 4
    assert [archive.index.jobs.get(job.id).attempts for job in jobs] == [0] * 4
    archive.__dict__.pop("encoder")
    again = Worker(archive)
    again.run(once=True)
    assert [archive.index.jobs.get(job.id).status for job in jobs] == ["done"] * 4
    assert sum(result(archive, job)["files"] for job in jobs) == 4


def test_results_of_all_uploads_of_a_run_are_stored_as_every_database_takes_them(
    archive: Archive, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header may hold NUL, which PostgreSQL refuses, and a report may quote it."""
    jobs = [store(archive, path) for path in slices[:3]]
    ingest = archive.ingest_apart

    def with_nul(folders: Any, **options: Any) -> Any:
        reports = ingest(folders, **options)
        return {name: one.model_copy(update={"warnings": ("a\0b",)}) for name, one in reports.items()}

    monkeypatch.setattr(archive, "ingest_apart", with_nul)
    Worker(archive).run(once=True)
    assert [archive.index.jobs.get(job.id).status for job in jobs] == ["done"] * 3
    assert [result(archive, job)["warnings"] for job in jobs] == [["a\ufffdb"]] * 3


def test_a_held_upload_is_no_other_workers_until_the_hold_ends(archive: Archive, slices: list[Path]) -> None:
    jobs = [store(archive, path) for path in slices[:3]]
    queue = archive.index.jobs
    first = queue.claim("a", ["ingest"])
    assert first is not None
    assert first.id == jobs[0].id
    assert queue.waiting_uploads.hold("pacs") == {
        job.id: Path(job.parameters["received"]) for job in jobs[1:]
    }
    assert queue.claim("b", ["ingest"]) is None
    assert queue.waiting_uploads.hold("pacs") == {}
    queue.waiting_uploads.keep([jobs[1].id], -1.0)  # its worker was killed
    second = queue.claim("b", ["ingest"])
    assert second is not None
    assert second.id == jobs[1].id
    assert not queue.waiting_uploads.finish(jobs[1].id, {"files": 1})
    queue.cancel(jobs[2].id)
    assert not queue.waiting_uploads.finish(jobs[2].id, {"files": 1})


def test_the_statements_of_a_run_do_not_grow_with_the_waiting_uploads(
    archive: Archive, slices: list[Path]
) -> None:
    """No statement has more than a few parameters for hundreds of uploads."""
    from sqlalchemy import event

    first = store(archive, slices[0])
    parameters = {"metadata": None, "files": 1, "received": "x", "paths": ["x"]}
    for _ in range(300):
        archive.index.jobs.submit("ingest", parameters, key_id="pacs")
    lengths: list[int] = []
    engine = archive.index.jobs.waiting_uploads._database._engine
    event.listen(engine, "before_cursor_execute", lambda *args: lengths.append(len(args[2])))
    held = archive.index.jobs.waiting_uploads.hold(first.key_id)
    archive.index.jobs.waiting_uploads.keep(list(held))
    assert len(held) >= 300
    assert 0 < len(lengths) < 20
    assert max(lengths) < 2000


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Commits after every image."""
    monkeypatch.setattr(commits, "COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr(commits, "ENCODED_TOGETHER", 1)
    return Clock()


def order_of_ends(archive: Archive) -> list[str]:
    ended = [job for job in archive.index.jobs.listed(limit=1000) if job.finished_at is not None]
    return [job.id for job in sorted(ended, key=lambda job: job.finished_at or job.created_at)]


def test_a_small_job_does_not_wait_behind_a_large_one(
    archive: Archive, phantoms: Phantoms, slices: list[Path], eager: Clock
) -> None:
    small: list[Job] = []

    def time_passes() -> None:
        eager.now += 15.0
        if not small:
            small.append(store(archive, slices[0]))
            small.append(archive.index.jobs.submit("probe", {"name": "x", "labels": ["none"]}))

    large = archive.index.jobs.submit("ingest", {"paths": [str(phantoms.dicom)], "files": None})
    Counted(archive, time_passes)
    works = Worker(archive, clock=eager)
    works.run(once=True)
    assert order_of_ends(archive) == [small[0].id, small[1].id, large.id]
    assert works.ended == {"done": 2, "failed": 1}
    assert result(archive, large)["files"] == len(list(phantoms.dicom.rglob("*.dcm")))
    assert archive.index.verify().ok


def test_a_stream_of_small_jobs_leaves_the_large_one_its_turns(
    archive: Archive, phantoms: Phantoms, slices: list[Path], eager: Clock
) -> None:
    """As long as small jobs keep coming, which take a second each."""
    sent: list[Job] = []
    large = archive.index.jobs.submit("ingest", {"paths": [str(phantoms.dicom)], "files": None})
    begun: list[float] = []

    def time_passes() -> None:
        eager.now += 1.0
        if archive.index.jobs.get(large.id).status == "running" and len(sent) < 500:
            sent.append(archive.index.jobs.submit("probe", {"name": "x", "labels": ["none"]}))
            begun.append(eager.now)

    class Slow(Worker):
        def _work(self, job: Job) -> None:
            if job.kind == "probe":
                time_passes()
            super()._work(job)

    Counted(archive, time_passes)
    works = Slow(archive, clock=eager)
    works.run(once=True)
    before = order_of_ends(archive).index(large.id)
    images = archive.index.info().images
    assert images >= 40
    # The large job had its turn of a second an image in equal parts with the others.
    assert turns.TURN_SECONDS * 0.8 <= before <= 2.5 * images
    assert archive.index.jobs.get(large.id).attempts == 1


def test_a_paused_large_job_stops_with_its_worker(
    archive: Archive, phantoms: Phantoms, slices: list[Path], eager: Clock
) -> None:
    large = archive.index.jobs.submit("ingest", {"paths": [str(phantoms.dicom)], "files": None})
    nested: list[Job] = []

    def time_passes() -> None:
        eager.now += 30.0
        if nested:
            works.stop()
        else:
            nested.append(store(archive, slices[0]))

    Counted(archive, time_passes)
    works = Worker(archive, clock=eager)
    works.run()
    stored = [archive.index.jobs.get(job.id) for job in (large, *nested)]
    assert [(job.status, job.attempts) for job in stored] == [("queued", 0)] * 2


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
