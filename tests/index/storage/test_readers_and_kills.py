"""Readers search while writers are killed, the disk is full, or the database is lost: nothing that was
committed is lost or double, readers are told at most to try again, and every deep check is clean.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors
from tests.index.small_disk import mounted_disk
from tests.index.storage.killed_writers import RETRY
from tests.postgresql_server import PostgresqlServer, find_programs
from tests.repository import ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def kill_writers(home: Path, kills: int, catalogue: Catalogue) -> dict[str, Any]:
    seed = random.SystemRandom().randrange(10**6)
    words = [str(home), str(kills), str(seed), *([catalogue.url] if catalogue.url else [])]
    command = [sys.executable, "-m", "tests.index.storage.killed_writers", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.long(every=2)
def test_writers_are_killed_while_readers_search(home: Path, catalogue: Catalogue) -> None:
    found = kill_writers(home, 3, catalogue)
    assert found["failures"] == []
    assert found["searches"] > 0


@pytest.mark.campaign
def test_two_hundred_writers_are_killed_while_readers_search(home: Path, catalogue: Catalogue) -> None:
    found = kill_writers(home, 200, catalogue)
    print(json.dumps(found))
    assert found["failures"] == []
    assert found["searches"] > 200


@contextmanager
def reading(home: Path, url: str | None = None) -> Iterator[Counter[str]]:
    """Threads that search for study 0 all the while; gives what they found, and what they were told."""
    told: Counter[str] = Counter()
    stop = threading.Event()

    def search() -> None:
        with CaseIndex.open(home, database_url=url) as index:
            while not stop.is_set():
                try:
                    [hits] = index.search(unit_vectors(1, 0), k=3)
                    told["found" if hits[0].study_instance_uid == "2.25.0" else "wrong"] += 1
                except CatalogError as error:
                    told[error.code] += 1
                except Exception as error:  # which no caller expects
                    told[repr(error)] += 1

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def filled(home: Path, url: str | None = None) -> CaseIndex:
    index = CaseIndex.open(home, database_url=url)
    index.activate(SPACE)
    index.add([make_bundle(0, 2)], unit_vectors(2, 0))
    index.rebuild()
    return index


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", 4) as folder:
        yield folder


@sqlite_only
def test_a_full_disk_while_readers_search(small_disk: Path, server: object) -> None:
    home = small_disk / "home"
    with filled(home) as index, reading(home) as told:
        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        ballast.write_bytes(bytes(max(0, free - 300_000)))
        added = 0

        def add_until_full() -> None:
            nonlocal added
            for study in range(1, 500):
                index.add([make_bundle(study, 20)], unit_vectors(20, study))
                added += 1

        with pytest.raises(CatalogError) as caught:
            add_until_full()
        assert caught.value.code == "disk-full"
        wait_for_more(told)
        with suppress(CatalogError):
            index.rebuild()
        ballast.unlink()
        wait_for_more(told)
        assert index.verify(deep=True).problems == ()
        held = {one.study_instance_uid for one in index.studies()}
        assert held >= {f"2.25.{study}" for study in range(1, added + 1)}
    assert set(told) <= {"found", *RETRY}


def wait_for_more(told: Counter[str], searches: int = 20) -> None:
    """Until readers have found study 0 so many times more."""
    before = told["found"]
    for _ in range(3000):
        if told["found"] >= before + searches:
            return
        threading.Event().wait(0.01)
    raise AssertionError(told)


@sqlite_only
def test_a_locked_catalogue_while_readers_search(home: Path, server: object) -> None:
    with filled(home) as index, reading(home) as told:
        other = sqlite3.connect(home / "catalog.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        wait_for_more(told)
        other.execute("ROLLBACK")
        other.close()
        index.add([make_bundle(1, 2)], unit_vectors(2, 1))
        wait_for_more(told)
        assert index.verify(deep=True).problems == ()
    assert set(told) == {"found"}


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A server that only this test uses, for it is stopped. Unlike that of other tests, it syncs."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        made = PostgresqlServer(programs, Path(folder), {"fsync": "on", "full_page_writes": "on"})
        made.make()
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.long
def test_a_lost_database_while_readers_search(home: Path, own_server: PostgresqlServer) -> None:
    url = own_server.new_database()
    committed = [0]

    def attempt(call: Callable[[], object]) -> str | None:
        try:
            call()
        except CatalogError as error:
            return error.code
        return None

    with filled(home, url) as index, reading(home, url) as told:
        for outage in range(2):
            for study in range(10 * outage + 1, 10 * outage + 4):
                index.add([make_bundle(study, 2)], unit_vectors(2, study))
                committed.append(study)
            own_server.stop()
            lost = 10 * outage + 9
            code = attempt(partial(index.add, [make_bundle(lost, 2)], unit_vectors(2, lost)))
            assert code in RETRY
            own_server.start()
            wait_for_more(told)
            checked = index.verify(deep=True)
            assert checked.problems == ()
            assert checked.checksums == len(committed)
        assert sorted(one.study_instance_uid for one in index.studies()) == sorted(
            f"2.25.{study}" for study in committed
        )
    assert set(told) <= {"found", *RETRY}
    assert told["found"]
