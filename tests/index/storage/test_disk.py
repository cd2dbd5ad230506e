"""A full disk, a home that cannot be written, a database in use or broken: one sentence, nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors
from tests.index.small_disk import mounted_disk
from tests.repository import ROOT


def add_studies(
    home: Path, first: int, count: int, busy: float = 30, **options: object
) -> tuple[int, list[str]]:
    command = [
        sys.executable,
        "-m",
        "tests.index.storage.add_forever",
        str(home),
        str(first),
        str(count),
        str(busy),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", 3) as folder:
        yield folder


def fill(folder: Path, leave: int) -> Path:
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(bytes(max(0, free - leave)))
    return ballast


@pytest.mark.parametrize("leave", [0, 20_000, 60_000, 200_000])
def test_a_full_disk_is_said_and_nothing_is_half_done(small_disk: Path, leave: int) -> None:
    home = small_disk / "home"
    with CaseIndex.open(home) as index:
        index.activate(SPACE)
        index.add([make_bundle(10_000, 2)], unit_vectors(2, 1))
        ballast = fill(small_disk, leave)
        committed = 0

        def add_until_full() -> None:
            nonlocal committed
            for study in range(1000):
                index.add([make_bundle(study, 20)], unit_vectors(20, study))
                committed += 1

        with pytest.raises(CatalogError) as caught:
            add_until_full()
        assert caught.value.code == "disk-full"
        assert str(home) in str(caught.value)
        ballast.unlink()
        assert index.verify().problems == ()
        assert index.info().studies == committed + 1
        shards = list((home / "vectors" / SPACE.name).iterdir())
        assert len(shards) == index.info().shards
        index.add([make_bundle(study, 20) for study in range(3)], unit_vectors(60))
    with CaseIndex.open(home) as again:
        assert again.verify().problems == ()


def test_a_home_on_a_full_disk_cannot_be_made_and_says_so(small_disk: Path) -> None:
    fill(small_disk, 8192)
    with pytest.raises(CatalogError) as caught:
        CaseIndex.open(small_disk / "home")
    assert caught.value.code == "disk-full"


def test_a_shard_that_cannot_be_written_leaves_nothing(
    index: CaseIndex, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    original = os.fsync

    def full(descriptor: int) -> None:
        original(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CatalogError) as caught:
        index.add([make_bundle(2, 2)], unit_vectors(2))
    monkeypatch.undo()
    assert caught.value.code == "disk-full"
    assert [path.suffix for path in (home / "vectors" / SPACE.name).iterdir()] == [".parquet"]
    assert index.info().studies == 1
    assert index.verify().problems == ()


@sqlite_only
def test_a_file_size_limit_reads_as_a_full_disk(home: Path, index: CaseIndex) -> None:
    index.close()
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000,) * 2); "
    limit += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = sys.argv[1:]; "
    limit += "runpy.run_module('tests.index.storage.add_forever', run_name='__main__')"
    command = [sys.executable, "-c", limit, "add_forever", str(home), "0", "10000", "30"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3, done.stderr
    *added, printed = done.stdout.splitlines()
    assert printed.startswith(("disk-full", "disk-error"))
    with CaseIndex.open(home) as again:
        assert again.verify().problems == ()
        assert again.info().studies == len(added) - 1


def printed_for_ordinary_user(home: Path) -> str:
    """What opening the home for writing raises in a forked process that has given up root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            CaseIndex.open(home).labels.put([])
        except CatalogError as error:
            os.write(writing, f"{error.code} {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter and read; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("made", [True, False])
def test_a_home_that_cannot_be_written_is_reported(open_folder: Path, made: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home = open_folder / "home"
    if made:
        with CaseIndex.open(home) as index:
            index.activate(SPACE)
        home.chmod(0o755)
        (home / "catalog.db").chmod(0o644)
    printed = printed_for_ordinary_user(home)
    assert printed.startswith("read-only-home ")
    assert str(home) in printed


@sqlite_only
def test_a_locked_catalogue_is_waited_for_and_then_said(home: Path, index: CaseIndex) -> None:
    other = sqlite3.connect(home / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, lines = add_studies(home, 0, 1, busy=0.2)
    assert code == 3
    assert lines[-1].startswith("catalog-busy ")
    assert "0.2 seconds" in lines[-1]
    # Readers do not wait for writers.
    assert index.info().studies == 0
    other.execute("ROLLBACK")
    other.close()
    assert add_studies(home, 0, 1)[0] == 0


@sqlite_only
@pytest.mark.parametrize(
    ("content", "code"),
    [(b"not a database, only some text " * 99, "not-a-catalog"), (None, "catalog-corrupt")],
)
def test_a_broken_catalogue_is_said(home: Path, index: CaseIndex, content: bytes | None, code: str) -> None:
    index.close()
    path = home / "catalog.db"
    if content is None:
        intact = path.read_bytes()
        content = intact[:4096] + b"\xff" * (len(intact) - 4096)
    path.write_bytes(content)
    with pytest.raises(CatalogError) as caught:
        CaseIndex.open(home)
    assert caught.value.code == code
    assert "catalog.db" in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_that_does_not_answer_is_named_without_its_password(home: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        CaseIndex.open(home, database_url="postgresql+psycopg://someone:hunter2@127.0.0.1:1/nothing")
    assert caught.value.code == "database-unreachable"
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
