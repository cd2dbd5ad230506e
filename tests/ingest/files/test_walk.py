from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.walk import FoundFile, walk
from medsiglip.ingest.reasons import Rejected


def as_ordinary_user(call: Any) -> Any:
    """Run a call in a child without root's rights, which no permission stops; returns its result."""
    if os.geteuid() != 0:
        return call()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            answer: tuple[Any, Any] = (call(), None)
        except Exception as error:
            answer = (None, (type(error).__name__, getattr(error, "code", None), str(error)))
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        result, raised = pickle.load(stream)
    os.waitpid(child, 0)
    assert raised is None, raised
    return result


@pytest.fixture
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A folder that every user can reach, down from the file system's root."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_files_come_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(walk([tmp_path, tmp_path / "b", tmp_path / "a"]))
    assert [os.path.relpath(f.path, tmp_path) for f in found] == ["a", "b/10", "b/2", "c"]
    status = (tmp_path / "c").stat()
    assert found[-1] == FoundFile(str(tmp_path / "c"), status.st_size, status.st_mtime_ns)


def test_symbolic_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(b"x")
    (tmp_path / "data" / "loop").symlink_to(tmp_path)
    (tmp_path / "data" / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    assert [os.path.basename(f.path) for f in walk([tmp_path])] == ["file"]


def test_the_order_of_the_named_paths_does_not_matter(tmp_path: Path) -> None:
    """A folder that is named and linked to from another named one is walked once, under one name."""
    for name in ("a/1", "b/2", "c/3"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "c")
    named = [tmp_path / name for name in "abc"]
    found = {tuple(file.path for file in walk(paths)) for paths in permutations(named)}
    assert [tuple(os.path.relpath(path, tmp_path) for path in paths) for paths in found] == [
        ("a/1", "b/2", "b/other/3")
    ]


def test_odd_names_are_kept(tmp_path: Path) -> None:
    (tmp_path / "two  spaces").mkdir()
    name = os.path.join(os.fsencode(tmp_path), b"two  spaces", b"\xff\xfe.dcm")
    with open(name, "wb"):
        pass
    assert [os.fsencode(f.path) for f in walk([tmp_path])] == [name]


def test_special_files_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list(walk([tmp_path])) == []


def test_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="nowhere") as caught:
        list(walk([tmp_path / "nowhere"]))
    assert caught.value.code == "no-such-path"


def test_unreadable_folder_inside_is_one_line_and_the_walk_goes_on(open_folder: Any) -> None:
    (open_folder / "closed").mkdir(mode=0o000)
    (open_folder / "file").write_bytes(b"x")
    found = as_ordinary_user(lambda: list(walk([open_folder])))
    assert found[0] == Rejected(str(open_folder / "closed"), "permission-denied")
    assert [type(f).__name__ for f in found] == ["Rejected", "FoundFile"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_unreadable_named_path_is_an_error(open_folder: Any, kind: Any) -> None:
    target = open_folder / "closed"
    if kind == "folder":
        target.mkdir(mode=0o000)
    else:
        target.write_bytes(b"x")
        target.chmod(0o000)

    def attempt() -> Any:
        with pytest.raises(IngestError) as caught:
            list(walk([target]))
        return caught.value.code

    assert as_ordinary_user(attempt) == "path-unreadable"
