"""A process may die at any moment: what was committed stays, nothing is double, search agrees."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer
from tests.repository import ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def die_at_steps(operation: str, folder: Path, every: int, server: PostgresqlServer | None) -> dict[str, Any]:
    words = [operation, str(folder), str(every), *([server.url] if server else [])]
    command = [sys.executable, "-m", "tests.index.storage.crash_every_step", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.long(every=4)
@pytest.mark.parametrize(
    ("operation", "every"),
    [("add", 23), ("replace", 59), ("remove", 37), ("compact", 59), ("redeliver", 31)],
)
def test_dying_at_a_step_leaves_all_or_nothing(
    operation: str, every: int, tmp_path: Path, server: PostgresqlServer | None
) -> None:
    found = die_at_steps(operation, tmp_path, every, server)
    assert found["failures"] == []
    assert found["steps"] > 30


@pytest.mark.campaign
@pytest.mark.parametrize(
    "operation", ["add", "replace", "redeliver", "remove", "compact", "snapshot", "create"]
)
def test_dying_at_every_step_leaves_all_or_nothing(
    operation: str, tmp_path: Path, server: PostgresqlServer | None
) -> None:
    assert die_at_steps(operation, tmp_path, 1, server)["failures"] == []


def start_adding(home: Path, catalogue: Catalogue, first: int, count: int) -> subprocess.Popen[str]:
    words = [str(home), str(first), str(count), "30", *([catalogue.url] if catalogue.url else [])]
    command = [sys.executable, "-m", "tests.index.storage.add_forever", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT)


@pytest.mark.long(every=2)
def test_killed_at_random_moments_nothing_reported_is_missing(home: Path, catalogue: Catalogue) -> None:
    moments = random.Random(5)
    first = 0
    reported: list[int] = []
    for _ in range(4):
        with start_adding(home, catalogue, first, 10_000) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            seen = [process.stdout.readline() for _ in range(moments.randrange(4))]
            time.sleep(moments.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            lines = [*seen, *process.stdout.read().splitlines()]
        reported += [int(line) for line in lines]
        with catalogue.open(home) as index:
            checked = index.verify()
            assert checked.problems == ()
            held = {study.study_instance_uid for study in index.studies()}
            assert {f"2.25.{study}" for study in reported} <= held
            # At most the one that was committed but not yet printed.
            assert len(held) <= len(reported) + 1
            for study in set(range(first, first + len(lines) + 1)):
                if f"2.25.{study}" in held:
                    ids = [image.image_id for image in index.images_of(f"2.25.{study}")]
                    wanted = unit_vectors(3, seed=study)
                    assert np.abs(index.vectors(ids) - wanted).max() < 1e-3
            reported = [int(uid.removeprefix("2.25.")) for uid in held]
        first = max(reported, default=-1) + 1
    assert len(reported) > 1


@pytest.mark.long(every=2)
def test_two_processes_add_the_same_at_the_same_time(home: Path, catalogue: Catalogue) -> None:
    processes = [start_adding(home, catalogue, 0, 15), start_adding(home, catalogue, 5, 15)]
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    with catalogue.open(home) as index:
        assert index.verify().problems == ()
        info = index.info()
        assert (info.studies, info.instances, info.images, info.faiss.ntotal) == (20, 60, 60, 60)


def test_several_open_a_new_catalogue_at_the_same_time(tmp_path: Path) -> None:
    """SQLite refuses all but one at once, whatever its time-out, when they turn its log on together."""
    together = threading.Barrier(4)

    def read(number: int) -> None:
        database = Database(tmp_path, f"sqlite:///{tmp_path / f'{number}.db'}", 30.0)
        together.wait()
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
        database.close()

    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            list(threads.map(read, [number] * 4))


def test_a_reader_sees_what_another_process_adds_and_removes(
    home: Path, index: CaseIndex, catalogue: Catalogue
) -> None:
    index.add([make_bundle(100, 1)], unit_vectors(1, seed=100))
    [found] = index.search(unit_vectors(1, seed=3)[:1], k=5)
    assert [hit.study_instance_uid for hit in found] == ["2.25.100"]
    process = start_adding(home, catalogue, 3, 1)
    assert process.communicate(timeout=600)[0].split() == ["open", "3"]
    [found] = index.search(unit_vectors(3, seed=3)[:1], k=1)
    assert (found[0].study_instance_uid, round(found[0].score, 6)) == ("2.25.3", 1.0)
    with catalogue.open(home) as other:
        other.remove_study("2.25.3")
        other.compact()
    [found] = index.search(unit_vectors(3, seed=3)[:1], k=5)
    assert [hit.study_instance_uid for hit in found] == ["2.25.100"]
