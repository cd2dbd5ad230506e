"""Headers over which ITK writes beyond its memory or prints what they hold never reach it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from tests.repository import ROOT

SCAN = """
import sys
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.files.walk import walk
for found in walk(sys.argv[1:]):
    print(getattr(scan_file(found, SecretKey(bytes(32))), "code", "volume"))
"""


def scanned(*paths: Any) -> Any:
    """What a process of its own makes of files: each its code or `volume`, and what it prints beside that."""
    done = subprocess.run(
        [sys.executable, "-c", SCAN, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
    )
    assert done.returncode == 0
    return done.stdout.split(), done.stderr


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(suffix: Any, old: Any = b"", new: Any = b"", name: Any = "x") -> Any:
        path = tmp_path / f"{name}{suffix}"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 5, 6), np.int16)), str(path))
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))
        return path

    return write


@pytest.mark.long(every=3)
@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".nrrd", b"endian: little", b"Doe" * 700),
        (".nrrd", b"kinds: domain", b"kinds: " + b"Doe" * 700),
        (".nrrd", b"space origin: (0", b"space origin: (" + b"Doe" * 700),
        (".mha", b"NDims = 3", b"NDims = -1"),
        (".mha", b"NDims = 3", b"NDims = 100"),
        (".mha", b"NDims = 3", b"NDims = 2147483648"),
        (".mha", b"NDims = 3", b"NDims\xa0= 3"),
        (".mha", b"DimSize = 6 5 4", b"DimSize = 6 Doe 4"),
        (".mha", b"DimSize = 6 5 4", b"DimSize = 6 5"),
        (".mha", b"ElementType = MET_SHORT\n", b""),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 1e400"),
        (".mha", b"TransformMatrix = 1", b"TransformMatrix = 1\0"),
        (".nii", b"\4\0\20\0", b"\3\0\20\0"),
        (".nii", b"\3\0\6\0\5\0\4\0", b"\3\0\6\0\0\0\4\0"),
        (".nii", b"\3\0\6\0\5\0\4\0", b"\11\0\6\0\5\0\4\0"),
    ],
)
def test_a_header_that_cannot_be_ends_as_a_code_and_prints_nothing(
    written: Any, suffix: Any, old: Any, new: Any
) -> None:
    codes, printed = scanned(written(suffix, old, new), written(suffix, name="y"))
    assert codes == ["undecodable-volume", "volume"]
    assert printed == ""


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".nrrd", b"endian: little", b"endian: little\nkey:=" + b"v" * 3000),
        (".nrrd", b"endian: little", b"endian: little\n# " + b"v" * 3000),
        (".nrrd", b"\n", b"\r\n"),
        (".mha", b"NDims = 3", b"Comment = M\xc3\xbcnchen = home\nNDims = 3"),
        (".mha", b"Offset = 0 0 0", b"Offset = -.5 +1e3 1.25E-2"),
    ],
)
def test_a_header_that_is_merely_long_or_talkative_is_read(
    written: Any, suffix: Any, old: Any, new: Any
) -> None:
    assert scanned(written(suffix, old, new)) == (["volume"], "")
