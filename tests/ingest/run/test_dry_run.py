from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.dry_run import copy_of_home
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.units.plan import PlanOptions

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)
FORESEEN = ("files", "files_embedded", "files_unchanged", "studies", "series", "instances", "images")


def no_encoder() -> NoReturn:
    raise AssertionError("a dry run encodes nothing")


@pytest.fixture
def folder(tmp_path: Path, write_dicom: Any, write_series: Any) -> Any:
    """Two series, two single images, a copy, a skipped and a quarantined file."""
    folder = tmp_path / "in"
    write_series(folder / "ct", 5)
    write_series(folder / "mr", 4, "MR", uid=8)
    for n in range(2):
        write_dicom(folder / f"dx{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"D{n}")
    shutil.copy(folder / "dx0.dcm", folder / "dx0-copy.dcm")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "text.dcm").write_text("not DICOM at all")
    return folder


def foreseen(home: Any, folder: Any, model: Any, **options: Any) -> Any:
    with copy_of_home(home) as copy, CaseIndex.open(copy) as index:
        return ingest([folder], index, model, no_encoder, IngestOptions(dry_run=True, **options))


def done(home: Any, folder: Any, model: Any, encoder: Any, **options: Any) -> Any:
    with CaseIndex.open(home) as index:
        return ingest([folder], index, model, lambda: encoder, IngestOptions(**options))


def contents(home: Path) -> Any:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(home.rglob("*"))}


def assert_same(before: Any, after: Any) -> None:
    assert before.dry_run
    assert not after.dry_run
    for name in (*FORESEEN, "embedded", "unchanged", "skipped", "quarantined", "space"):
        assert getattr(before, name) == getattr(after, name), name


def test_a_dry_run_tells_what_the_ingest_then_does(
    tmp_path: Path, model: Any, encoder: Any, folder: Any
) -> None:
    home = tmp_path / "home"
    before = foreseen(home, folder, model)
    assert not home.exists()
    assert (before.files, before.embedded) == (14, 11)
    assert_same(before, done(home, folder, model, encoder))


def test_a_dry_run_leaves_an_existing_home_as_it_is_byte_for_byte(
    tmp_path: Path, model: Any, encoder: Any, folder: Any, write_dicom: Any, write_series: Any
) -> None:
    """New files, new slices of a series that is held, and a series that is sampled."""
    home = tmp_path / "home"
    late = [shutil.move(path, tmp_path) for path in sorted((folder / "mr").iterdir())[2:]]
    done(home, folder, model, encoder)
    for path in late:
        shutil.move(path, folder / "mr")
    write_dicom(folder / "new.dcm", PIXELS + 50, SOPInstanceUID="2.25.60", StudyInstanceUID="2.25.61")
    write_series(folder / "long", 20, uid=9)
    was = contents(home)
    before = foreseen(home, folder, model, plan=PlanOptions(max_slices=6))
    assert contents(home) == was
    assert_same(before, done(home, folder, model, encoder, plan=PlanOptions(max_slices=6)))


def test_a_dry_run_of_an_unchanged_folder(tmp_path: Path, model: Any, encoder: Any, folder: Any) -> None:
    home = tmp_path / "home"
    done(home, folder, model, encoder)
    before = foreseen(home, folder, model)
    assert before.files_embedded == before.embedded == 0
    assert_same(before, done(home, folder, model, encoder))


def test_the_json_of_a_dry_run_has_the_same_keys_and_says_what_it_is(
    tmp_path: Path, model: Any, encoder: Any, folder: Any
) -> None:
    before = foreseen(tmp_path / "home", folder, model).to_json()
    after = done(tmp_path / "home", folder, model, encoder).to_json()
    assert before["dry_run"] is True
    assert before.keys() - after.keys() == {"dry_run", "at_most"}
