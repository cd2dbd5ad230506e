"""Archives are read in place: the content of every member equals that of the file that was packed."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.archive import open_archive
from medsiglip.ingest.files.source import open_source, source_status
from medsiglip.ingest.files.walk import FoundFile, walk
from tests.ingest.files.archive_cases import KINDS, content, count_inflated, names, pack

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_files_of_the_run_with_the_content_that_was_packed(tmp_path: Path, kind: Any) -> None:
    members = {f"study/{n}.dcm": content(n) for n in range(5)}
    path = pack(tmp_path / f"export.{kind}", members)
    found = list(walk([tmp_path]))
    mtime = path.stat().st_mtime_ns
    assert found == [FoundFile(f"{path}!/{name}", 5000, mtime) for name in members]
    for name, data in members.items():
        with open_source(f"{path}!/{name}") as file:
            assert file.read() == data
        assert source_status(f"{path}!/{name}") == (5000, mtime)


@pytest.mark.parametrize("kind", KINDS)
def test_members_can_be_sought_in_like_files(tmp_path: Path, kind: Any) -> None:
    data = content(1, 300_000)
    path = pack(tmp_path / f"x.{kind}", {"before": content(2), "x": data, "after": content(3)})
    rng, plain = random.Random(0), io.BytesIO(data)
    with open_source(f"{path}!/x") as file:
        for _ in range(40):
            place, size = rng.randrange(310_000), rng.randrange(70_000)
            assert file.seek(place) == plain.seek(place)
            assert file.read(size) == plain.read(size)
        assert file.seek(0, os.SEEK_END) == len(data)


def test_the_gzip_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm.gz"
    path.write_bytes(gzip.compress(content(1)) + gzip.compress(b"and more"))
    assert names(path) == ["scan.dcm"]
    with open_source(f"{path}!/scan.dcm") as file:
        assert file.read() == gzip.decompress(path.read_bytes())


def test_a_packed_volume_is_left_to_the_reader_of_volumes(tmp_path: Path) -> None:
    (tmp_path / "brain.nii.gz").write_bytes(gzip.compress(b"x"))
    assert [found.path for found in walk([tmp_path])] == [str(tmp_path / "brain.nii.gz")]


def test_dicom_under_the_name_of_an_archive_is_dicom(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x.zip", PIXELS)
    assert [found.path for found in walk([path])] == [str(path)]


def test_members_of_a_solid_archive_in_its_order_are_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "x.tar.gz", {str(n): content(n, 200_000) for n in range(20)})
    open_archive(str(path))
    inflated = count_inflated(monkeypatch)
    for name in names(path):
        with open_source(f"{path}!/{name}") as file:
            assert len(file.read()) == 200_000
    assert sum(inflated) < 1.1 * 20 * 200_000


def test_a_member_can_be_named_by_itself(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"a": b"1", "b": b"2"})
    assert names(f"{path}!/b") == ["b"]
    assert len(list(walk([f"{path}!/b", path]))) == 2
    with pytest.raises(IngestError) as caught:
        names(f"{path}!/c")
    assert caught.value.code == "no-such-path"


def test_a_folder_whose_name_looks_like_a_member_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a").write_bytes(b"1")
    pack(tmp_path / "x.zip", {"a": b"other"})
    with open_source(str(tmp_path / "x.zip!" / "a")) as file:
        assert file.read() == b"1"


def test_members_equal_what_other_programs_unpack(tmp_path: Path) -> None:
    """GNU tar writes long names and sparse files in ways of its own."""
    folder = tmp_path / "in" / ("long" * 30)
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{'x' * 120}{n}").write_bytes(content(n))
    for form in ("gnu", "posix", "ustar"):
        path = tmp_path / f"{form}.tar.gz"
        done = subprocess.run(
            ["tar", "-C", tmp_path / "in", f"--format={form}", "-czf", path, "."], capture_output=True
        )
        if done.returncode:
            continue
        assert sorted(names(path)) == [f"{'long' * 30}/{'x' * 120}{n}" for n in range(3)]
        for n, name in enumerate(sorted(names(path))):
            with open_source(f"{path}!/{name}") as file:
                assert file.read() == content(n)
