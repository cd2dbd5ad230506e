"""A database of its own for each test, and an archive with uploads that wait."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.service.jobs import Job
from medsiglip.ingest.engines import local
from medsiglip.ingest.run import commits
from tests.clocks import Clock
from tests.index.index_cases import unit_vectors
from tests.postgresql_server import PostgresqlServer

SLICES = 12
PHOTOGRAPHS = 34


@pytest.fixture
def url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    made = postgresql_server.new_database()
    yield made
    postgresql_server.drop(made)


@pytest.fixture
def uploads_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", "/")
    with Archive(tmp_path / "home") as opened:
        opened.make()
        Counted(opened)
        yield opened


def write_files(folder: Path, count: int, anatomy: str) -> list[Path]:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for study in make_studies(count, 11, [anatomy]):
        write_study(study, folder)
    return sorted(folder.rglob("*.dcm"))


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some files of one CT series, in a folder of their own."""
    written = write_files(tmp_path_factory.mktemp("series"), 1, "chest-ct")
    folder = tmp_path_factory.mktemp("slices")
    return [Path(shutil.copy(path, folder)) for path in written[:SLICES]]


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small files of as many patients."""
    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(1)
    dataset = pydicom.dcmread(write_files(folder, 1, "skin")[0])
    dataset.Rows = dataset.Columns = 64
    paths = [folder / f"{number:02d}.dcm" for number in range(PHOTOGRAPHS)]
    for path in paths:
        dataset.PatientID = dataset.PatientName = path.stem
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.PixelData = draw.integers(0, 256, (64, 64, 3), np.uint8).tobytes()
        dataset.save_as(path)
    return paths


class Counted:
    """An encoder that takes no time, for an archive: it counts the images, and calls `at_use` at each use."""

    def __init__(self, archive: Archive, at_use: Callable[[], None] = lambda: None) -> None:
        self._dimension = archive.checkpoint.dimension
        self._at_use = at_use
        self.images = 0
        archive.__dict__["encoder"] = self

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        self.images += len(images)
        self._at_use()
        return unit_vectors(len(images), self.images, self._dimension)


def store(
    archive: Archive, *files: Path, key_id: str | None = "pacs", count: int | None = 1, priority: int = 0
) -> Job:
    """What a STOW request submits; `count` files are said to be in it."""
    received = archive.home / "received"
    folder = received / f"{len(list(received.glob('*'))) if received.is_dir() else 0:032x}"
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:06d}.dcm")
    parameters = {"paths": [str(folder)], "metadata": None, "received": str(folder), "files": count}
    return archive.index.jobs.submit("ingest", parameters, key_id=key_id, priority=priority)


@contextmanager
def working(archive: Archive) -> Iterator[Worker]:
    """A worker in a thread of its own."""
    works = Worker(archive, poll_seconds=0.05)
    thread = threading.Thread(target=works.run, name="worker")
    thread.start()
    try:
        yield works
    finally:
        works.stop()
        thread.join(60)
    assert not thread.is_alive()


def folder_of(job: Job) -> Path:
    return Path(job.parameters["received"])


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Commits after every image, and reports after every commit."""
    monkeypatch.setattr(commits, "COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr(local, "ENCODED_TOGETHER", 1)
    monkeypatch.setattr("medsiglip.ingest.run.progress.REPORT_EVERY_S", -1.0)
    return Clock()
