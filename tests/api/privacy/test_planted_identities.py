"""Words planted wherever a file can hold text appear in no home, output or message."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from tests.api.privacy.planted_files import Planted, plant
from tests.api.privacy.traces import found, found_in_home
from tests.repository import ROOT

# Commands one after the other in a process of their own, whose warnings, logs and tracebacks are all shown,
# those that C code prints too.
PROGRAM = """
import json, sys, traceback
from medsiglip.api.cli.main import main
for words in json.load(sys.stdin):
    try:
        print("exit code", main(words))
    except Exception:
        traceback.print_exc()
"""


def everything_said(*commands: list[str]) -> bytes:
    """What commands print under `--debug`, on both streams."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM],
        input=json.dumps(commands).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def ingested(
    planted: Planted, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, dict[str, bytes]]]:
    """The home of a mode after an ingest, and what was said and written about it."""
    homes: dict[str, tuple[Path, dict[str, bytes]]] = {}

    def home(phi: str) -> tuple[Path, dict[str, bytes]]:
        if phi not in homes:
            folder = tmp_path_factory.mktemp(phi)
            reports = [folder / "report.csv", folder / "report.html"]
            words = ["--home", folder / "home", "--json", "--debug", "ingest", planted.folder, "--phi", phi]
            words += ["--report", reports[0], "--report", reports[1]]
            said = everything_said(list(map(str, words)))
            homes[phi] = folder / "home", {"said": said, **{one.name: one.read_bytes() for one in reports}}
        return homes[phi]

    return home


def answer(said: bytes) -> dict[str, Any]:
    """The one JSON object among the lines that were printed."""
    lines = [line for line in said.splitlines() if line.startswith(b"{")]
    assert len(lines) == 1, said
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_the_planted_identities_are_in_the_files(planted: Planted) -> None:
    """Else nothing could be found: all but what lies compressed within the files."""
    contents = [(path.name, path.read_bytes()) for path in planted.paths]
    places = [*contents, *((path.name, str(path).encode()) for path in planted.paths)]
    for path in planted.paths:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                places += [(path.name, packed.read("Memberfolderqx/Membernameqx.dcm"))]
                places += [(path.name, packed.read("Innerarchiveqx.zip"))]
    seen = {word for _, word in found(planted.words | planted.path_words, places)}
    hidden = {"Qzpngzipvx", "Qzintarvx", "Qztaruservx", "Qztargroupvx", "Tarmemberqx", "Qzinzipintarvx"}
    assert (planted.words | planted.path_words) - seen <= hidden


@pytest.mark.long(every=2)
@pytest.mark.parametrize("phi", ["pseudonymous", "strict"])
def test_an_ingest_discloses_no_planted_identity(
    planted: Planted, ingested: Callable[[str], tuple[Path, dict[str, bytes]]], phi: str
) -> None:
    home, outputs = ingested(phi)
    report = answer(outputs["said"])
    assert report["files_embedded"] >= 30
    assert len(report["skipped"]) >= 4
    assert len(report["quarantined"]) >= 8
    assert found(planted.words, outputs.items()) == []
    # Paths serve to read the files again; a strict home keeps none.
    words = planted.words | planted.path_words if phi == "strict" else planted.words
    assert found_in_home(words, home) == []


def test_no_path_remains_after_forgetting_all_patients(
    planted: Planted, ingested: Callable[[str], tuple[Path, dict[str, bytes]]], tmp_path: Path
) -> None:
    """Only folders stay in which no file was of a patient with a study."""
    home = tmp_path / "home"
    shutil.copytree(ingested("pseudonymous")[0], home)
    assert len({word for _, word in found_in_home(planted.path_words, home)}) > 60
    with CaseIndex.open(home) as index:
        for key in {study.patient_key for study in index.studies()}:
            index.remove_patient(key)
        assert index.verify().ok
    left = {word for _, word in found_in_home(planted.path_words, home)}
    nobodys = ("bad", "broken", "cut", "damaged", "document", "letter", "report", "text", "badNumberOfFrames")
    assert left == {f"{kind}{name}qx" for name in nobodys for kind in ("Folder", "File")}


@pytest.mark.long
def test_no_other_command_discloses_a_planted_identity(
    planted: Planted, ingested: Callable[[str], tuple[Path, dict[str, bytes]]], tmp_path: Path
) -> None:
    """Every file is searched with: what cannot be used ends in an error, shown with its traceback."""
    home, _ = ingested("pseudonymous")
    given = ["--home", str(home), "--json", "--debug"]
    commands = [[*given, "search", "--image", str(path)] for path in planted.paths]
    commands += [
        [*given, "render", str(planted.folder), "--out", str(tmp_path / "png")],
        [*given, "embed", str(planted.folder), "--out", str(tmp_path / "embeddings.parquet")],
        [*given, "ingest", str(planted.folder), "--dry-run"],
        [*given, "study", "list"],
        [*given, "index", "export", "--out", str(tmp_path / "export")],
    ]
    said = everything_said(*commands)
    assert said.count(b"Traceback") >= 8
    assert said.count(b"exit code 0") >= 35
    written = [(path.name, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 30
    assert found(planted.words, [("said", said), *written]) == []
