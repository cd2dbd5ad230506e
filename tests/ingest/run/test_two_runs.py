"""Two ingests of overlapping folders into one home at once, each in a process of its own, end as one does."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import ingest
from tests.ingest.run.run_cases import PIXELS
from tests.repository import ROOT

SECRET = bytes(range(32))
# Neither commits before both have planned what they render.
SCRIPT = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    sys.path[:0] = json.loads(sys.argv[1])
    home, url, mine, other, paths = json.loads(sys.argv[2])
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.run.pipeline import ingest
    from ingest_test_conftest import Encoder, Model

    def add(*given):
        Path(mine).touch()
        deadline = time.monotonic() + 60
        while not Path(other).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        index.add = whole
        return whole(*given)

    with CaseIndex.open(Path(home), database_url=url) as index:
        whole, index.add = index.add, add
        print(json.dumps(ingest(paths, index, Model(), Encoder).to_json()))
    """
)
Start = Callable[[Path, str | None, str, str, Iterable[Path]], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Begin an ingest of some paths, with the name of its barrier and that of the other run."""
    (tmp_path / "ingest_test_conftest.py").write_text(Path(ROOT / "tests/ingest/conftest.py").read_text())

    def start(home: Path, url: str | None, mine: str, other: str, paths: Iterable[Path]) -> Any:
        given = [str(home), url, str(tmp_path / mine), str(tmp_path / other), list(map(str, paths))]
        command = [sys.executable, "-c", SCRIPT, json.dumps([str(tmp_path)]), json.dumps(given)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    return start


def new_home(home: Path) -> Path:
    """A home with the one key, so that pseudonyms can be compared."""
    home.mkdir()
    (home / "secret.key").write_bytes(SECRET)
    (home / "secret.key").chmod(0o600)
    return home


def content(home: Path, url: str | None) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Every image with what is known of it, its vector, and the rows of files."""
    with CaseIndex.open(home, database_url=url) as index:
        verification = index.verify()
        assert verification.ok, verification.problems
        found: dict[Any, Any] = dict(index.files.by_path())
        vectors = {}
        for study in index.studies():
            found[study.study_instance_uid] = index.study(study.study_instance_uid).study
            for image in index.images_of(study.study_instance_uid):
                key = image.sop_instance_uid, image.pixel_hash, image.frame, image.rendering
                assert key not in found
                found[key] = {name: getattr(image, name) for name in image.__slots__ if name != "image_id"}
                vectors[key] = index.vectors([image.image_id])[0]
        return found, vectors


@pytest.mark.parametrize("database", ["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def test_two_runs_at_once_end_as_one(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model: Any,
    encoder: Any,
    write_dicom: Any,
    write_series: Any,
    start: Start,
    database: str,
) -> None:
    """A series of which each run has slices that the other has not, two that both have whole, radiographs of
    which some are in both, and a study with files of two patients.
    """
    url = request.getfixturevalue("new_database")() if database == "postgresql" else None
    grown = write_series(tmp_path / "in" / "grown", 12, "MR", BurnedInAnnotation="NO")
    both = write_series(tmp_path / "in" / "both", 5, "MR", uid=8)
    both += write_series(tmp_path / "in" / "ct", 4, uid=6)
    single = [
        write_dicom(
            tmp_path / "in" / f"dx{n}.dcm",
            PIXELS + n,
            SOPInstanceUID=f"2.25.5{n}",
            StudyInstanceUID=f"2.25.4{n % 3}",
            PatientID=f"P{n % 3}",
        )
        for n in range(9)
    ]
    (tmp_path / "in" / "notes.txt").write_text("nothing to see")
    home = new_home(tmp_path / "home")
    parts = (
        [*grown[:8], *both, *single[:6], tmp_path / "in" / "notes.txt"],
        [*grown[4:], *both, *single[3:], tmp_path / "in" / "notes.txt"],
    )
    CaseIndex.open(home, database_url=url).close()
    runs = [start(home, url, "a", "b", parts[0]), start(home, url, "b", "a", parts[1])]
    reports = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    for part, report in zip(parts, reports, strict=True):
        assert report["files"] == len(part)
        assert report["files_embedded"] + report["files_unchanged"] == len(part) - 1
        assert [one["code"] for one in report["skipped"]] == ["not-an-image"]
        assert report["instances"] == len(part) - 1
    assert (tmp_path / "a").exists()
    assert (tmp_path / "b").exists()

    alone = new_home(tmp_path / "alone")
    with CaseIndex.open(alone) as index:
        ingest([tmp_path / "in"], index, model, lambda: encoder)
    (mine, my_vectors), (theirs, their_vectors) = content(home, url), content(alone, None)
    assert mine == theirs
    for key, vector in my_vectors.items():
        np.testing.assert_array_equal(vector, their_vectors[key])

    # What the first committed is found by the second.
    again = start(home, url, "b", "a", [tmp_path / "in"]).communicate(timeout=120)[0]
    found = json.loads(again)
    assert (found["files_embedded"], found["embedded"]) == (0, 0)
    assert found["files_unchanged"] == found["files"] - 1


@pytest.mark.long
@pytest.mark.parametrize("held", [0, 2])
@pytest.mark.parametrize("later", [8, 4])
def test_a_run_that_has_nothing_of_its_own_beside_another(
    tmp_path: Path,
    model: Any,
    encoder: Any,
    write_series: Any,
    monkeypatch: pytest.MonkeyPatch,
    held: int,
    later: int,
) -> None:
    """One brings all slices of a series, the other some of them: each plans before the other has committed,
    and the one with so many commits `later`, when the other has ended.
    """
    paths = write_series(tmp_path / "in", 8, "MR", BurnedInAnnotation="NO")
    home = new_home(tmp_path / "home")

    def bring(index: CaseIndex, brought: Sequence[Path]) -> None:
        ingest(brought, index, model, lambda: encoder)

    with CaseIndex.open(home) as first, CaseIndex.open(home) as second:
        if held:
            bring(first, paths[:held])
        whole, others = second.add, [paths[: 12 - later]]

        def add(*given: Any) -> Any:
            if others:
                bring(first, others.pop())
            return whole(*given)

        with monkeypatch.context() as patch:
            patch.setattr(second, "add", add)
            bring(second, paths[:later])
        assert not others
    alone = new_home(tmp_path / "alone")
    with CaseIndex.open(alone) as index:
        bring(index, [tmp_path / "in"])
    (mine, my_vectors), (theirs, their_vectors) = content(home, None), content(alone, None)
    assert mine == theirs
    for key, vector in my_vectors.items():
        np.testing.assert_array_equal(vector, their_vectors[key])
