from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.run.watch import Arrivals, is_temporary, series_of_file, watch

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


def alone(path: Any) -> Any:
    return ""


def arrivals(settle: Any = 10.0, known: Any = None, series_of: Any = alone) -> Any:
    return Arrivals(settle, known or {}, series_of)


def at(path: Any, size: Any = 1, mtime: Any = 1) -> Any:
    return FoundFile(path, size, mtime)


def test_a_file_is_ready_when_it_has_not_changed_for_the_settling_time() -> None:
    coming = arrivals()
    assert coming.ready([at("/a")], 0.0) == []
    assert coming.ready([at("/a")], 9.0) == []
    assert coming.ready([at("/a")], 10.0) == ["/a"]


@pytest.mark.parametrize("changed", [at("/a", size=2), at("/a", mtime=2)])
def test_a_file_that_grows_or_is_touched_waits_anew(changed: Any) -> None:
    coming = arrivals()
    coming.ready([at("/a")], 0.0)
    assert coming.ready([changed], 9.0) == []
    assert coming.ready([changed], 18.0) == []
    assert coming.ready([changed], 19.0) == ["/a"]


def test_a_file_that_was_taken_in_comes_again_only_when_it_changes() -> None:
    coming = arrivals(settle=1.0)
    coming.ready([at("/a")], 0.0)
    coming.done(coming.ready([at("/a")], 1.0))
    assert coming.ready([at("/a")], 50.0) == []
    coming.ready([at("/a", size=2)], 51.0)
    assert coming.ready([at("/a", size=2)], 52.0) == ["/a"]


def test_what_the_index_knows_is_not_looked_at() -> None:
    def never(path: Any) -> None:
        raise AssertionError(path)

    coming = arrivals(known={"/a": at("/a", 7, 8)}, series_of=never)
    coming.ready([at("/a", 7, 8)], 0.0)
    assert coming.ready([at("/a", 7, 8)], 100.0) == []
    assert coming.waiting == 0


def test_a_file_that_goes_away_is_forgotten() -> None:
    coming = arrivals()
    coming.ready([at("/a"), at("/b")], 0.0)
    assert coming.ready([at("/b")], 10.0) == ["/b"]
    assert coming.waiting == 1


def test_a_series_that_arrives_slowly_is_taken_in_once() -> None:
    """A slice every eight seconds, for minutes, settling in ten: one batch, of the whole series."""
    coming = arrivals(series_of=lambda path: "study/series")
    batches = []
    for second in range(400):
        present = [at(f"/{n:03d}") for n in range(min(second // 8 + 1, 30))]
        ready = coming.ready(present, float(second))
        coming.done(ready)
        batches += [ready] if ready else []
    assert [len(batch) for batch in batches] == [30]


def test_a_busy_folder_does_not_hold_back_a_series_that_is_complete() -> None:
    coming = arrivals(series_of=lambda path: "quiet" if path.startswith("/q") else "busy")
    taken = []
    for second in range(60):
        present = [at("/q1"), at("/q2"), *(at(f"/b{n}") for n in range(second))]
        ready = coming.ready(present, float(second))
        coming.done(ready)
        taken += ready
    assert taken == ["/q1", "/q2"]


def test_a_file_that_does_not_look_whole_is_given_time_and_then_handed_over() -> None:
    whole = False
    coming = arrivals(settle=1.0, series_of=lambda path: "" if whole else None)
    moments = [moment for moment in range(10) if coming.ready([at("/a")], float(moment))]
    assert moments == [6, 7, 8, 9]


@pytest.mark.parametrize(
    ("name", "temporary"),
    [("a.dcm", False), ("A", False), ("a.dcm.part", True), ("x.TMP", True), (".a.dcm", True), ("a~", True)],
)
def test_names_of_unfinished_files(name: Any, temporary: Any) -> None:
    assert is_temporary(f"/in/{name}") is temporary


def test_slices_are_known_by_their_series_and_other_files_stand_alone(
    tmp_path: Path, write_dicom: Any, write_series: Any
) -> None:
    first, second = write_series(tmp_path, 2)
    assert series_of_file(str(first)) == series_of_file(str(second)) == "2.25.97/2.25.7"
    assert series_of_file(str(write_dicom(tmp_path / "x.dcm", PIXELS))) == ""
    (tmp_path / "notes.txt").write_text("nothing to render")
    assert series_of_file(str(tmp_path / "notes.txt")) == ""


@pytest.mark.parametrize("kept", [0, 100, 300, 512])
def test_a_part_of_a_file_does_not_look_whole(tmp_path: Path, write_series: Any, kept: Any) -> None:
    (path,) = write_series(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:kept])
    assert series_of_file(str(path)) is None


def test_a_part_of_a_compressed_file_does_not_look_whole(tmp_path: Path, test_data: Path) -> None:
    whole = next((test_data / "dicom").rglob("*JPEG2000*.dcm"), None)
    if whole is None:
        pytest.skip("the real data hold no JPEG 2000 file of that name")
    part = tmp_path / "part.dcm"
    part.write_bytes(whole.read_bytes())
    assert series_of_file(str(part)) is not None
    part.write_bytes(whole.read_bytes()[:-2000])
    assert series_of_file(str(part)) is None


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IngestError) as caught:
        watch([tmp_path / "nowhere"], arrivals(), lambda ready: None, pause=0.01)
    assert caught.value.code == "no-such-path"


WRITER = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for path in sorted(source.iterdir()):
        whole = path.read_bytes()
        half = len(whole) // 2
        if path.name.startswith("moved"):
            (target / (path.name + ".part")).write_bytes(whole)
            time.sleep(0.1)
            os.rename(target / (path.name + ".part"), target / path.name)
            continue
        with open(target / path.name, "wb") as file:
            for part in (whole[:half], whole[half:]):
                file.write(part)
                file.flush()
                time.sleep(0.15)
    (target / "gone.dcm").write_bytes(b"x")
    os.unlink(target / "gone.dcm")
    """
)


def test_what_another_process_writes_slowly_arrives_whole_and_once(
    tmp_path: Path, write_dicom: Any, write_series: Any
) -> None:
    write_series(tmp_path / "source", 6)
    write_dicom(tmp_path / "source" / "moved.dcm", PIXELS, SOPInstanceUID="2.25.5")
    target = tmp_path / "in"
    target.mkdir()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "source"), str(target)])
    batches = []

    class EnoughError(Exception):
        pass

    def take(ready: Any) -> None:
        batches.append({os.path.basename(path): Path(path).read_bytes() for path in ready})
        if sum(map(len, batches)) >= 7:
            raise EnoughError

    with pytest.raises(EnoughError):
        watch([target], arrivals(settle=0.8, series_of=series_of_file), take, pause=0.05)
    assert writer.wait() == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "source").iterdir()}
    assert {name: content for batch in batches for name, content in batch.items()} == expected
    assert sorted(map(len, batches)) == [1, 6]
