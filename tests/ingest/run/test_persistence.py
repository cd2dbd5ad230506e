"""An ingest on PostgreSQL loses its connections, its server, and the answers to its commits; and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.ingest.run.interruption import Interruption, stoppable
from medsiglip.ingest.run.persistence import persistent
from medsiglip.ingest.run.pipeline import ingest
from tests.cut_connections import CuttingProxy
from tests.postgresql_server import PostgresqlServer

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def folder(tmp_path: Path, write_dicom: Any, write_series: Any) -> Path:
    """Radiographs, a volume, a picture with a label, and a file that is none."""
    for n in range(6):
        uids = {"SOPInstanceUID": f"2.25.4{n}", "SeriesInstanceUID": f"2.25.5{n}"}
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS + n, StudyInstanceUID=f"2.25.6{n}", **uids)
    write_series(tmp_path / "in" / "ct", 5)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


@contextmanager
def at_statement(number: int, do: Callable[[], object]) -> Iterator[list[int]]:
    """Do something before the statement of that number; the list holds how many there were."""
    count = [0]
    mine = threading.get_ident()

    def tick(connection: Any, *_: object) -> None:
        if threading.get_ident() == mine and connection.engine.url.database != "postgres":
            count[0] += 1
            if count[0] == number:
                do()

    event.listen(Engine, "before_cursor_execute", tick)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", tick)


def content(index: CaseIndex) -> tuple[object, ...]:
    """What an index holds, by what it is; vectors to the bit."""
    images = [one for study in index.studies() for one in index.images_of(study.study_instance_uid)]
    vectors = index.vectors([one.image_id for one in images])
    keys = [(one.sop_instance_uid, one.pixel_hash, one.frame, one.rendering) for one in images]
    assert len(set(keys)) == len(keys)
    found = {key: vector.tobytes() for key, vector in zip(keys, vectors, strict=True)}
    files = {path: (one.outcome, one.pixel_hash) for path, one in index.files.by_path().items()}
    info = index.info()
    return found, files, info.studies, info.series, info.instances, info.images, info.vectors


@pytest.mark.long
def test_every_statement_may_lose_its_connection(
    tmp_path: Path,
    folder: Path,
    model: Any,
    encoder: Any,
    new_database: Callable[[], str],
    postgresql_server: PostgresqlServer,
) -> None:
    whole_url = new_database()
    with CaseIndex.open(tmp_path / "whole", database_url=whole_url) as index, at_statement(0, print) as count:
        whole = ingest([folder], index, model, lambda: encoder)
        expected, total = content(index), count[0]
    assert total > 30
    url, lost = new_database(), []
    for number in range(1, total, 6):
        with CaseIndex.open(tmp_path / "home", database_url=url) as index:
            cut = lambda: lost.append(postgresql_server.end_connections(url))  # noqa: E731
            with at_statement(number, cut):
                report = ingest([folder], index, model, lambda: encoder)
            assert content(index) == expected, number
            assert index.verify().problems == (), number
            told = (report.files, report.studies, report.images, report.embedded + report.unchanged)
            assert told == (whole.files, whole.studies, whole.images, whole.images), number
            for uid in [study.study_instance_uid for study in index.studies()]:
                index.remove_study(uid)
    assert all(lost)


def test_commits_whose_answer_is_lost_are_not_made_twice(
    tmp_path: Path,
    folder: Path,
    model: Any,
    encoder: Any,
    new_database: Callable[[], str],
    postgresql_server: PostgresqlServer,
) -> None:
    with CaseIndex.open(tmp_path / "whole", database_url=new_database()) as index:
        ingest([folder], index, model, lambda: encoder)
        expected = content(index)
    with CuttingProxy(postgresql_server.port) as proxy:
        url = new_database().replace(f":{postgresql_server.port}/", f":{proxy.port}/")

        class Armed:
            def encode_images(self, images: np.ndarray) -> Any:
                proxy.cut_commits(2)  # that of the images, and that of what was looked up for the next try
                return encoder.encode_images(images)

        with CaseIndex.open(tmp_path / "home", database_url=url) as index:
            report = ingest([folder], index, model, Armed)
            assert proxy.cut >= 2
            assert content(index) == expected
            assert index.verify().problems == ()
            assert report.embedded == report.images


@pytest.mark.long
def test_a_server_that_is_restarted_is_waited_for(
    tmp_path: Path, folder: Path, model: Any, encoder: Any, postgresql_server: PostgresqlServer, url: str
) -> None:
    class Meanwhile:
        def encode_images(self, images: np.ndarray) -> Any:
            postgresql_server.stop()
            threading.Timer(1.0, postgresql_server.start).start()
            return encoder.encode_images(images)

    with CaseIndex.open(tmp_path / "home", database_url=url) as index:
        report = ingest([folder], index, model, Meanwhile)
        assert (report.embedded, report.files_embedded) == (11, 11)
        assert index.verify().problems == ()
        postgresql_server.restart()  # between two requests
        assert index.info().images == 11


def test_what_stays_away_is_said_and_a_run_that_waits_can_be_stopped(
    tmp_path: Path, folder: Path, model: Any, encoder: Any, postgresql_server: PostgresqlServer, url: str
) -> None:
    interruption = Interruption()
    with CaseIndex.open(tmp_path / "home", database_url=url) as index:
        patient = persistent(index, lambda: None, patience_s=0.5)
        postgresql_server.stop()
        try:
            with pytest.raises(CatalogError) as caught:
                patient.info()
            assert caught.value.code == "database-unreachable"
            threading.Timer(0.5, interruption.stop).start()
            with stoppable(interruption), pytest.raises(InterruptedIngestError):
                ingest([folder], index, model, lambda: encoder)
        finally:
            postgresql_server.start()
        assert ingest([folder], index, model, lambda: encoder).embedded == 11


class Busy:
    """An index whose catalogue another writer holds, for so many calls."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def info(self) -> str:
        if self.left:
            self.left -= 1
            raise CatalogError("catalog-busy", "Another process has been writing; wait until it is done.")
        return "answer"


def test_a_catalogue_that_is_busy_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may hold its lock for longer than a call waits, while they read and write files of a bucket."""
    monkeypatch.setattr("medsiglip.ingest.run.persistence._LOOK_EVERY_S", 0.001)
    index: Any = Busy(3)
    answer: Any = persistent(index, lambda: None).info()
    assert answer == "answer"
    index = Busy(3)
    with pytest.raises(CatalogError) as caught:
        persistent(index, lambda: None, patience_s=0).info()
    assert (caught.value.code, index.left) == ("catalog-busy", 2)
