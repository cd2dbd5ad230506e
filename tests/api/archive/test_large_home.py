"""An ingest asks for statements and rows by what is new, not by what is there.

The home holds 1,000 studies, and 10,000 in the campaign (`make statements-test`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event

from medsiglip.checkpoint import open_checkpoint
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import (
    FileRecord,
    ImageRecord,
    InstanceRecord,
    SeriesBundle,
    SeriesRecord,
    Space,
    StudyRecord,
)
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from medsiglip.preprocess import DEFAULT_PROFILE
from tests.api.conftest import Home, run

SMALL = 10


@dataclass
class Work:
    """What a command asked of SQLite."""

    texts: list[str] = field(default_factory=list)
    rows: int = 0


@contextmanager
def counted() -> Iterator[Work]:
    """Every statement, and every row that was handed out."""
    work = Work()

    def connected(connection: Any, _record: object) -> None:
        def take(_cursor: object, row: tuple[Any, ...]) -> tuple[Any, ...]:
            work.rows += 1
            return row

        connection.row_factory = take

    def executed(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        work.texts.append(text)

    event.listen(Engine, "connect", connected)
    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield work
    finally:
        event.remove(Engine, "connect", connected)
        event.remove(Engine, "before_cursor_execute", executed)


def bundle(study: int) -> SeriesBundle:
    uid = f"2.25.{study}"
    one = InstanceRecord(f"{uid}.1.1", f"hash-{study}")
    image = ImageRecord(one.sop_instance_uid, one.pixel_hash, 1, rendering="voi")
    file = FileRecord(
        f"/archive/{study}.dcm", 1, 1, sop_instance_uid=one.sop_instance_uid, pixel_hash=one.pixel_hash
    )
    return SeriesBundle(
        StudyRecord(uid, f"patient-{study}", study_date="2020-01-01", study_description="Chest"),
        SeriesRecord(f"{uid}.1", modality="DX", body_part_examined="CHEST"),
        (one,),
        (image,),
        (file,),
    )


def filled(path: Path, count: int) -> Home:
    """A home of so many studies that were never files, in the space of the demonstration model."""
    checkpoint = open_checkpoint("tiny")
    vectors = np.random.default_rng(count).normal(size=(count, checkpoint.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with CaseIndex.open(path) as index:
        index.activate(Space(checkpoint.hash, DEFAULT_PROFILE, checkpoint.dimension, "tiny"))
        index.add([bundle(study) for study in range(count)], vectors)
    return Home(path, {})


@pytest.fixture(scope="module", params=[1_000, pytest.param(10_000, marks=pytest.mark.campaign)])
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Home]:
    """A small and a large home by the number of their studies."""
    folder = tmp_path_factory.mktemp("homes")
    return {count: filled(folder / str(count), count) for count in (SMALL, int(request.param))}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rule on images, labels, quality and scores."""
    file = tmp_path_factory.mktemp("rules") / "routes.toml"
    file.write_text(
        '[chest]\nmodality = ["DX", "CR"]\nwhere = ["study_description!="]\nquality = ["near_blank=false"]\n'
        'scores = [{ source = "prompts:phantoms", label = "pneumothorax", at_least = 0.0 }]\n'
    )
    return file


@pytest.fixture
def new_studies(tmp_path: Path) -> Callable[[int, int], Path]:
    def write(count: int, seed: int) -> Path:
        folder = tmp_path / f"new{seed}"
        for study in make_studies(count, seed, ["chest-xray"]):
            write_study(study, folder)
        return folder

    return write


def test_route_test_looks_at_every_study(homes: dict[int, Home], routes: Path) -> None:
    for count, home in homes.items():
        tested = home.run("route", "test", "chest", "--file", routes).json
        assert tested["studies"] == count
        assert len(tested["would_send"]) + tested["would_not_send"] == count


def test_an_ingest_with_a_rule_costs_what_is_new(
    homes: dict[int, Home], routes: Path, new_studies: Callable[[int, int], Path]
) -> None:
    for home in homes.values():
        assert home.run("route", "add", routes).code == 0
    works = {}
    for seed, (count, home) in enumerate(homes.items()):
        folder = new_studies(3, 100 + seed)
        with counted() as work:
            report = home.run("ingest", folder).json
        works[count] = work
        assert report["embedded"] == 3
        assert report["routed"] == 3, report["warnings"]
    small, large = (works[count] for count in homes)
    assert set(large.texts) == set(small.texts)
    assert len(large.texts) == len(small.texts)
    assert large.rows == small.rows
    # and a folder in which nothing is new
    works = {}
    for seed, (count, home) in enumerate(homes.items()):
        with counted() as work:
            assert home.run("ingest", new_studies(3, 100 + seed)).json["embedded"] == 0
        works[count] = work
    small, large = (works[count] for count in homes)
    assert len(large.texts) == len(small.texts)
    assert large.rows == small.rows


def test_the_search_after_it_finds_what_is_new(homes: dict[int, Home]) -> None:
    for count, home in homes.items():
        verified = home.run("index", "verify").json
        assert verified["ok"]
        assert verified["images"] == count + 3


def test_a_home_of_many_refuses_nothing(homes: dict[int, Home], tmp_path: Path) -> None:
    """The other commands that go through all studies."""
    count, home = list(homes.items())[-1]
    assert len(home.run("study", "list", "--where", "body_part_examined=CHEST").json["studies"]) == count + 3
    assert home.run("index", "export", "--out", tmp_path / "out").json["images"] == count + 3
    assert home.run("route", "test", "chest").json["studies"] == count + 3
    assert run("--home", home.path, "index", "compact").code == 0
