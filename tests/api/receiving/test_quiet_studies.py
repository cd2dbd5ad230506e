"""A study waits until nothing more of it comes, and not for ever."""

from __future__ import annotations

import os
from pathlib import Path

from medsiglip.api.receiving.quiet_studies import QuietStudies
from medsiglip.index.storage.spool import SPOOL

A, B = "a" * 32, "b" * 32


def add(home: Path, study: str, name: str) -> None:
    """Something of a study arrives; the clock of the file system may be coarser than a test."""
    folder = home / SPOOL / study
    before = folder.stat().st_mtime_ns if folder.is_dir() else 0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x")
    os.utime(folder, ns=(before + 1, before + 1))


def due(quiet: QuietStudies, now: float) -> list[str]:
    return [folder.name for folder in quiet.look(now)]


def test_a_study_is_due_when_it_was_quiet(tmp_path: Path) -> None:
    quiet = QuietStudies(tmp_path, 10, 1000)
    assert due(quiet, 0) == []
    add(tmp_path, A, "1")
    assert due(quiet, 1) == []
    add(tmp_path, A, "2")
    add(tmp_path, B, "1")
    assert due(quiet, 9) == []
    assert (due(quiet, 18.9), len(quiet)) == ([], 2)
    add(tmp_path, B, "2")
    assert due(quiet, 19) == [A]
    assert due(quiet, 29) == [A, B]


def test_a_study_that_grows_and_grows_is_due_at_last(tmp_path: Path) -> None:
    quiet = QuietStudies(tmp_path, 10, 100)
    for now in range(0, 100, 5):
        add(tmp_path, A, str(now))
        assert due(quiet, now) == []
    add(tmp_path, A, "last")
    assert due(quiet, 100) == [A]


def test_a_study_that_begins_again_waits_again(tmp_path: Path) -> None:
    quiet = QuietStudies(tmp_path, 10, 100)
    add(tmp_path, A, "1")
    assert due(quiet, 0) == []
    assert due(quiet, 99) == [A]
    (tmp_path / SPOOL / A).rename(tmp_path / "handed")
    add(tmp_path, A, "2")
    assert due(quiet, 101) == []
    assert due(quiet, 111) == [A]


def test_only_folders_of_studies_are_looked_at(tmp_path: Path) -> None:
    quiet = QuietStudies(tmp_path, 0.1, 1)
    for name in (".arriving", ".associations", "A" * 32, "a" * 31, "notes"):
        (tmp_path / SPOOL / name).mkdir(parents=True)
    (tmp_path / SPOOL / B).write_bytes(b"a file")
    (tmp_path / SPOOL / A).symlink_to(tmp_path)
    quiet.look(0)
    assert due(quiet, 100) == []
