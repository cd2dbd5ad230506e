"""The command `ingest`: dry runs, report files and watching, as a person runs them."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest

from tests.api.conftest import Home, Phantoms, run
from tests.repository import ROOT


def contents(home: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(home.rglob("*"))}


def test_a_dry_run_tells_what_would_be_and_touches_nothing(own_home: Home, phantoms: Phantoms) -> None:
    before = contents(own_home.path)
    report = own_home.run("ingest", phantoms.dicom, "--dry-run").json
    assert report["dry_run"] is True
    assert (report["files_unchanged"], report["embedded"]) == (report["files"], 0)
    assert "dry run" in own_home.show("ingest", phantoms.dicom, "--dry-run").out
    assert contents(own_home.path) == before


def test_a_dry_run_makes_no_home(tmp_path: Path, phantoms: Phantoms, home: Home) -> None:
    report = run("--home", tmp_path / "home", "--json", "ingest", phantoms.dicom, "--dry-run").json
    assert not (tmp_path / "home").exists()
    for name in ("files", "files_embedded", "studies", "series", "instances", "images", "embedded"):
        assert report[name] == home.report[name], name


def test_report_files_are_written_in_both_formats(tmp_path: Path, phantoms: Phantoms) -> None:
    study = next(path for path in sorted(phantoms.dicom.iterdir()) if path.is_dir())
    words = ("ingest", study, "--report", tmp_path / "a.csv", "--report", tmp_path / "a.html")
    report = run("--home", tmp_path / "home", "--json", *words).json
    with (tmp_path / "a.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == report["files"]
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "words",
    [("--report", "a.pdf"), ("--watch", "--dry-run"), ("--watch", "--settle", "0"), ("--workers", "0")],
)
def test_options_that_cannot_be_meant_are_wrong_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run("--home", tmp_path / "home", "ingest", tmp_path, *words).code == 2
    assert not (tmp_path / "home").exists()


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path: Path, phantoms: Phantoms) -> None:
    where = tmp_path / "no" / "a.csv"
    failed = run("--home", tmp_path / "home", "--json", "ingest", phantoms.dicom, "--report", where)
    assert (failed.code, failed.error["code"]) == (1, "report-not-writable")


def watching(home: Path, folder: Path) -> subprocess.Popen[str]:
    words = ["--home", str(home), "--json", "ingest", str(folder), "--watch", "--settle", "0.5"]
    return subprocess.Popen(
        [sys.executable, "-m", "medsiglip.api.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def await_note(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"ended without {words}")


@pytest.mark.long(every=2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_takes_in_what_arrives_and_ends_with_the_totals(
    tmp_path: Path, phantoms: Phantoms, number: signal.Signals
) -> None:
    patients = [path for path in sorted(phantoms.dicom.iterdir()) if path.is_dir()][:2]
    (tmp_path / "in").mkdir()
    process = watching(tmp_path / "home", tmp_path / "in")
    try:
        await_note(process, "watching")
        (tmp_path / "in" / "late.dcm.part").write_bytes(b"unfinished")
        shutil.copytree(patients[0], tmp_path / "in" / "a")
        await_note(process, "embedded")
        shutil.copytree(patients[1], tmp_path / "in" / "b")
        await_note(process, "embedded")
        time.sleep(0.2)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    total = json.loads(out)
    files = sum(path.is_file() for patient in patients for path in patient.rglob("*"))
    uids = {pydicom.dcmread(path).StudyInstanceUID for patient in patients for path in patient.rglob("*.dcm")}
    assert (total["files"], total["files_embedded"], total["quarantined"]) == (files, files, [])
    assert (total["studies"], total["batches"]) == (len(uids), 2)
    again = run("--home", tmp_path / "home", "--json", "ingest", *patients).json
    assert again["embedded"] == 0
