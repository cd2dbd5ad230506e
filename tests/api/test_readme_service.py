"""The lines of the README's section on the service, run as they stand, on phantoms."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Phantoms
from .service_processes import ROOT

SECTION = (ROOT / "README.md").read_text().split("\n## As a service\n")[1].split("\n## ")[0]
SHELL, PYTHON = (re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL) for kind in ("sh", "python"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_newcomer_s_path_works_as_written(phantoms: Phantoms, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    case = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    [lines], [program] = SHELL, PYTHON
    first, rest = lines.split("\n", 1)
    assert first.startswith("export DICOM="), "the first line has what a reader puts in"
    command = tmp_path / "bin" / "medsiglip"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m api.cli "$@"\n')
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    (tmp_path / "client.py").write_text(program)
    script = "\n".join(
        [
            "set -eu",
            f"export DICOM={phantoms.dicom} CASE={case} LABELS={phantoms.labels}",
            rest.replace("8000", str(port)),
            f'"{sys.executable}" client.py',
        ]
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{command.parent}:{environment['PATH']}"
    # The script's own `&` leaves the server running: it ends with the process group.
    process = subprocess.Popen(
        ["bash", "-c", f"trap 'kill $(jobs -p); wait' EXIT\n{script}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out[-2000:], err[-2000:])
    assert "Traceback" not in err
    for expected in ('"status":"done"', '"hits":', '"scores":', '"macro_auroc":', '"probability":'):
        assert expected in out.replace('": ', '":'), expected
    assert "32 studies, 0 new images" in out
    assert "Score(label=" in out
