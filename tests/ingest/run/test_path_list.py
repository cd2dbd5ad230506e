"""Lists of paths and lines that are not in memory, against a set and a dict."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.errors import CatalogError
from medsiglip.index.scratch import Scratch
from medsiglip.ingest.run import path_list
from medsiglip.ingest.run.file_lines import FileLine, FileLines
from medsiglip.ingest.run.path_list import PathList

# Of any bytes: those that are not UTF-8 are surrogates in Python.
PATHS = st.lists(st.binary(min_size=1, max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape")))


@given(paths=PATHS, asked=PATHS, in_memory=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_path_list_is_a_set_in_order(paths: list[str], asked: list[str], in_memory: bool) -> None:
    found = PathList(in_memory=in_memory)
    for path in paths[: len(paths) // 2]:
        found.add(path)
    assert list(found) == sorted(set(paths[: len(paths) // 2]))
    for path in paths:
        found.add(path)
    assert list(found) == sorted(set(paths))
    assert len(found) == len(set(paths))
    assert [path in found for path in asked] == [path in set(paths) for path in asked]
    found.close()


def test_a_path_list_of_several_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_list, "_BUFFERED", 7)
    paths = [f"/{n % 40:03d}" for n in range(100)]
    found = PathList()
    for path in paths[::-1]:
        found.add(path)
    assert list(found) == sorted(set(paths))


@given(paths=PATHS)
@settings(max_examples=20, deadline=None)
def test_the_latest_line_of_each_file_stays(paths: list[str]) -> None:
    lines, expected = FileLines(), {}
    for n, path in enumerate(paths):
        line = FileLine(path, "embedded", modality="CT", images=n)
        lines.put([line])
        expected[path] = line
    assert dict(lines) == expected
    assert list(lines.in_order()) == [expected[path] for path in sorted(expected)]
    assert len(lines) == len(expected)
    assert lines.get("/other") is None


def test_a_temporary_folder_that_takes_no_more_is_one_sentence() -> None:
    scratch = Scratch("CREATE TABLE held (value)")
    list(scratch.ask("PRAGMA max_page_count=10"))
    with pytest.raises(CatalogError, match="temporary folder") as caught:
        scratch.put("INSERT INTO held VALUES (?)", [("x" * 4000,) for _ in range(100)])
    assert caught.value.code == "disk-full"
