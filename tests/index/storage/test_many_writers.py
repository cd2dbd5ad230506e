"""Several processes commit to one home at once: nothing fails, nothing is missing, nothing is double."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, func, select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import images
from tests.index.conftest import Catalogue
from tests.index.index_cases import unit_vectors
from tests.index.storage.many_writers import IMAGES
from tests.repository import ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
Reported = dict[int, list[int]]
"""The image ids that writers were told, by study."""


class Writer:
    """A process of `many_writers`."""

    def __init__(self, home: Path, url: str | None, number: int, count: int, shared: int) -> None:
        words = [str(home), *map(str, (number, count, shared)), *([url] if url else [])]
        self.own = range(1000 * number, 1000 * number + count)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.index.storage.many_writers", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=ROOT,
        )

    def is_open(self) -> bool:
        assert self.process.stdout is not None
        return self.process.stdout.readline() == "open\n"

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def reported(self, *, killed: bool) -> list[tuple[int, list[int]]]:
        """What it was told until its end."""
        output, errors = self.process.communicate(timeout=600)
        lines = output.splitlines()
        if killed:
            assert self.process.returncode in (-signal.SIGKILL, 0), errors
        else:
            assert (self.process.returncode, lines[-1:]) == (0, ["done"]), errors
        return [tuple(json.loads(line)) for line in lines if line.startswith("[") and line.endswith("]")]


def write_together(
    home: Path, catalogue: Catalogue, writers: int, count: int, shared: int, *, kill: int = 0, seed: int = 1
) -> tuple[list[Writer], Reported, set[int]]:
    """Let writers commit in contention, of which `kill` are killed at random moments. Returns them, what they
    were told, and the numbers of those that were killed.
    """
    draw = random.Random(seed)
    found = [Writer(home, catalogue.url, number + 1, count, shared) for number in range(writers)]
    assert [one.is_open() for one in found] == [True] * writers
    for one in found:
        one.begin()
    doomed = set(draw.sample(range(writers), kill))
    for number in doomed:
        time.sleep(draw.uniform(0.05, 0.4))
        found[number].process.send_signal(signal.SIGKILL)
    told: Reported = {}
    for number, one in enumerate(found):
        for study, ids in one.reported(killed=number in doomed):
            assert told.setdefault(study, ids) == ids, "another id for the same image"
    return found, told, doomed


def check(index: CaseIndex, home: Path, catalogue: Catalogue, told: Reported, expected: set[int]) -> None:
    """All of `expected` is there, whole and once, under the ids that the writers were told."""
    assert index.verify(deep=True).problems == ()
    held = {int(study.study_instance_uid.removeprefix("2.25.")) for study in index.studies()}
    assert expected | told.keys() <= held
    engine = create_engine(catalogue.url_in(home))
    with engine.connect() as connection:
        rows = connection.execute(select(func.count()).select_from(images)).scalar()
    engine.dispose()
    assert rows == IMAGES * len(held)
    every: set[int] = set()
    for study in sorted(held):
        ids = [one.image_id for one in index.images_of(f"2.25.{study}")]
        assert told.get(study, ids) == ids
        assert np.abs(index.vectors(ids) - unit_vectors(IMAGES, study)).max() < 1e-6
        every.update(ids)
    assert len(every) == IMAGES * len(held)
    assert index.info().images == IMAGES * len(held)


def test_writers_in_contention_commit_everything_once(
    home: Path, index: CaseIndex, catalogue: Catalogue
) -> None:
    index.close()
    writers, told, _ = write_together(home, catalogue, 3, 4, 3)
    with catalogue.open(home) as again:
        check(again, home, catalogue, told, {*range(3), *(study for one in writers for study in one.own)})
        assert told.keys() == {*range(3), *(study for one in writers for study in one.own)}


@pytest.mark.long
@pytest.mark.parametrize("kill", [0, 4])
def test_ten_committers_of_which_some_are_killed(
    home: Path, index: CaseIndex, catalogue: Catalogue, kill: int
) -> None:
    index.close()
    writers, told, doomed = write_together(home, catalogue, 10, 20, 10, kill=kill)
    alive = [one for number, one in enumerate(writers) if number not in doomed]
    expected = {*range(10), *(study for one in alive for study in one.own)}
    with catalogue.open(home) as again:
        check(again, home, catalogue, told, expected)
    # Those that were killed begin again, and find what they had committed.
    more = [Writer(home, catalogue.url, number + 1, 20, 10) for number in doomed]
    assert [one.is_open() for one in more] == [True] * kill
    for one in more:
        one.begin()
    for one in more:
        for study, ids in one.reported(killed=False):
            assert told.setdefault(study, ids) == ids
    with catalogue.open(home) as again:
        check(again, home, catalogue, told, {*range(10), *(s for one in writers for s in one.own)})


@pytest.mark.campaign
def test_many_rounds_of_committers_that_are_killed(
    home: Path, index: CaseIndex, catalogue: Catalogue
) -> None:
    index.close()
    told: Reported = {}
    for seed in range(12):
        _, more, _ = write_together(home, catalogue, 10, 30, 10, kill=6, seed=seed)
        for study, ids in more.items():
            assert told.setdefault(study, ids) == ids
        with catalogue.open(home) as again:
            check(again, home, catalogue, told, set(range(10)))
            assert again.remove_study("2.25.1000").studies == 1
            again.compact()
        for study in [study for study in told if study == 1000]:
            del told[study]
