"""dcmtk as the judge of structured reports."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def dsrdump(tmp_path: Path) -> Callable[[bytes], tuple[str, str]]:
    """Standard output and error of dcmtk's dsrdump on an SR file."""
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump (dcmtk) is not installed")

    def dump(content: bytes) -> tuple[str, str]:
        (tmp_path / "report.dcm").write_bytes(content)
        done = subprocess.run(
            ["dsrdump", "+Pl", "+Pc", "+Pt", str(tmp_path / "report.dcm")], capture_output=True, check=True
        )
        return done.stdout.decode(), done.stderr.decode()

    return dump
