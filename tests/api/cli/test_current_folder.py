"""Commands that run in a folder with a user's Python files import none of them, in any process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.api.service_processes import Started, eventually

PROGRAM = Path(sys.executable).parent / "medsiglip"
NAMES = ("api", "index", "ingest", "medgemma", "medsiglip", "numpy", "pickle", "random", "struct", "torch")
FILE = """
open({mark!r}, "a").close()
raise ImportError("a file of the current folder was imported")
"""
Start = Callable[..., Started]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More files than an ingest reads in its own process, in a format that it leaves to worker processes."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(5).integers(0, 255, (16, 48, 48, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files have the names of modules and leave a mark when they are imported."""
    marks = tmp_path / "marks"
    for one in (marks, tmp_path / "current"):
        one.mkdir()
    for name in NAMES:
        (tmp_path / "current" / f"{name}.py").write_text(FILE.format(mark=str(marks / name)))
    yield tmp_path / "current"
    assert [mark.name for mark in marks.iterdir()] == []


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts the installed program in that folder, with no other folder to import from than its own."""
    begun: list[Started] = []

    def start(*words: object, **environment: str) -> Started:
        given = {"PYTHONPATH": "", **environment}
        one = Started(
            tmp_path / "home", tuple(map(str, words)), None, given, program=[str(PROGRAM)], folder=folder
        )
        begun.append(one)
        return one

    yield start
    for one in begun:
        one.end()


def modules_of_children(started: Started) -> set[str]:
    """What the processes below run with `-m`."""
    found: set[str] = set()
    for child in started.children():
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "-m" in words:
            found.add(words[words.index("-m") + 1])
    return found


def result(started: Started) -> Any:
    """The JSON object of a command that ends well."""
    out, _ = started.process.communicate(timeout=300)
    assert started.process.returncode == 0, started.log.read_text()
    return json.loads(out)


def test_ingest_search_and_render(start: Start, pictures: Path, tmp_path: Path) -> None:
    ingest = start("ingest", pictures, "--workers", "2")
    eventually(lambda: "medsiglip.ingest.workers.worker" in modules_of_children(ingest))
    report = result(ingest)
    assert (report["files_embedded"], report["quarantined"]) == (16, [])
    assert len(result(start("search", "--text", "a photograph", "-k", "3"))["hits"]) == 3
    shown = result(start("render", pictures, "--out", tmp_path / "shown"))
    assert len(shown["images"]) == 16


def test_demo(start: Start) -> None:
    assert result(start("demo", "--studies", "48"))["ingest"]["studies"] == 48


def test_serve(start: Start, pictures: Path) -> None:
    served = start("serve", "--port", "0", MEDSIGLIP_INGEST_ROOTS=str(pictures))
    with httpx.Client(base_url=str(served.answer()["url"]), timeout=60) as http:
        eventually(lambda: http.get("/readyz").status_code == 200)
        assert {"medsiglip.api.cli", "medsiglip.api.encoder.process"} <= modules_of_children(served)
        job = http.post("/v1/ingest", json={"path": str(pictures)}).json()
        eventually(lambda: http.get(f"/v1/jobs/{job['id']}").json()["status"] not in ("queued", "running"))
        done = http.get(f"/v1/jobs/{job['id']}").json()
        assert (done["status"], done["result"]["files_embedded"]) == ("done", 16)
        hits = http.post("/v1/search", json={"text": "a photograph", "k": 3}).json()["hits"]
        assert len(hits) == 3
    served.process.terminate()
    assert served.process.wait(60) == 0, served.log.read_text()
