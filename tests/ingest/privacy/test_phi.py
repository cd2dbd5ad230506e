"""An ingest that keeps no paths, where it needs files that it has seen before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest


@pytest.fixture
def run(tmp_path: Path, model: Any, encoder: Any) -> Any:
    def run(*paths: Any, phi: Any = "strict") -> Any:
        with CaseIndex.open(tmp_path / "home") as index:
            report = ingest(paths, index, model, lambda: encoder, IngestOptions(phi=phi)).to_json()
            assert index.verify().ok
            return report

    return run


def halves(folder: Any, paths: Any) -> Any:
    """Move the second half of a series into a folder of its own."""
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    for number, path in enumerate(sorted(paths)):
        shutil.move(path, folder / ("first" if number < len(paths) // 2 else "second") / path.name)
    return folder / "first", folder / "second"


def test_a_series_that_grows_is_rendered_anew_if_the_run_sees_all_of_it(
    tmp_path: Path, run: Any, write_series: Any
) -> None:
    first, second = halves(tmp_path, write_series(tmp_path / "ct", 6, "MR"))
    assert run(first)["embedded"] == 3
    report = run(first, second)
    assert (report["files_embedded"], report["files_unchanged"], report["embedded"]) == (3, 3, 6)
    assert report["warnings"] == []


def test_a_series_that_grows_elsewhere_is_said_to_be_rendered_in_parts(
    tmp_path: Path, run: Any, write_series: Any
) -> None:
    first, second = halves(tmp_path, write_series(tmp_path / "ct", 6, "MR"))
    run(first)
    report = run(second)
    assert report["embedded"] == 3
    (warning,) = [text for text in report["warnings"] if "keeps no paths" in text]
    assert "ingest all folders of the series together" in warning


def test_no_path_is_told_to_who_does_not_know_it(tmp_path: Path, run: Any, write_series: Any) -> None:
    write_series(tmp_path / "ct", 3)
    run(tmp_path / "ct")
    with CaseIndex.open(tmp_path / "home") as index:
        assert {path.split(":")[0] for path in index.files.by_path()} == {"strict"}
        assert dict(index.files.by_path().items()).keys() == set(index.files.by_path())


def test_the_mode_of_a_home_is_its_own_from_then_on(tmp_path: Path, run: Any, write_series: Any) -> None:
    write_series(tmp_path / "ct", 3)
    run(tmp_path / "ct")
    report = run(tmp_path / "ct", phi=None)
    assert report["files_unchanged"] == 3
    with CaseIndex.open(tmp_path / "home") as index:
        assert index.phi == "strict"
