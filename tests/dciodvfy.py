"""dciodvfy of Debian's dicom3tools: what it finds wrong in a DICOM file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def dciodvfy(path: Path) -> list[str]:
    """The lines that it writes, of which `Error` and `Warning` are the first words of what it objects to.

    Skips the test where the program is not installed.
    """
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True)
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    assert lines, "dciodvfy names at least the kind of object"
    return lines
