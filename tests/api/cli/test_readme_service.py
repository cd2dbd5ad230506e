"""The lines of the README's section on the service, run as they stand, on phantoms."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home, Phantoms
from tests.api.service_processes import ROOT

README = (ROOT / "README.md").read_text()


def blocks(section: str, kind: str) -> list[str]:
    """The lines of a section that a reader copies."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(folder: Path) -> dict[str, str]:
    """An environment in which `medsiglip` and `python` are this project's."""
    command = folder / "bin" / "medsiglip"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m medsiglip.api.cli.main "$@"\n')
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    path = f"{command.parent}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_newcomer_s_path_works_as_written(phantoms: Phantoms, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    case = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    [lines], [program] = blocks("As a service", "sh"), blocks("As a service", "python")
    first, rest = lines.split("\n", 1)
    assert first.startswith("export DICOM="), "the first line has what a reader puts in"
    (tmp_path / "client.py").write_text(program)
    script = "\n".join(
        [
            "set -eu",
            f"export DICOM={phantoms.dicom} CASE={case} LABELS={phantoms.labels}",
            rest.replace("8000", str(port)),
            f'"{sys.executable}" client.py',
        ]
    )
    # The script's own `&` leaves the server running: it ends with the process group.
    process = subprocess.Popen(
        ["bash", "-c", f"trap 'kill $(jobs -p); wait' EXIT\n{script}"],
        cwd=tmp_path,
        env=commands(tmp_path),
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


def test_drafts_are_made_as_written(own_home: Home, tmp_path: Path) -> None:
    [lines] = blocks("Draft reports", "sh")
    first, rest = lines.split("\n", 1)
    assert first.startswith("export STUDY="), "the first line has what a reader puts in"
    with CaseIndex.open(own_home.path) as index:
        study = index.studies(["modality=CR|DX"])[0].study_instance_uid
    environment = {**commands(tmp_path), "MEDSIGLIP_HOME": str(own_home.path), "STUDY": study}
    ran = subprocess.run(
        ["bash", "-euc", rest], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, (ran.stdout[-2000:], ran.stderr[-2000:])
    assert pydicom.dcmread(tmp_path / "report.dcm").Modality == "SR"
    with CaseIndex.open(own_home.path) as index:
        drafts = index.drafts.listed()
        assert [one.status for one in drafts if one.study_instance_uid == study and one.route is None] == [
            "accepted"
        ]
        assert {one.route for one in drafts} == {None, "effusions"}
