"""The wheel, installed beside nothing but the libraries: commands that run in a folder with a user's Python
files import none of them, in any process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.api.service_processes import Started
from tests.import_graph import PACKAGES
from tests.repository import ROOT, packaged
from tests.waiting import eventually

NAMES = ("api", "index", "ingest", "medgemma", "medsiglip", "numpy", "pickle", "random", "struct", "torch")
# Names of our own that mean nothing to a library.
OWN = {"api", "index", "ingest", "medgemma"}
FILE = """
open({mark!r}, "a").close()
raise ImportError("a file of the current folder was imported")
"""
Start = Callable[..., Started]
SCRIPT = """
import json, sys
from medsiglip import Archive, Client
with Archive(sys.argv[1], model="tiny") as archive:
    print(json.dumps([Client.__module__, archive.index.info().images]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools writes beside what it builds."""
    source, built = tmp_path_factory.mktemp("source") / "medsiglip", tmp_path_factory.mktemp("wheel")
    left = shutil.ignore_patterns(".*", "tests", "benchmarks", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(built), str(source)], check=True
    )
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, which sees the libraries of this one and holds the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    # A .pth file adds a folder without reading the .pth files in it, such as that of an editable install.
    libraries = [one for one in sys.path if one.endswith("-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"),
            *("--no-deps", "--no-index", "--ignore-installed", str(wheel)),
        ],
        check=True,
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A user's folder, whose files have the names of modules; none of them has been run in the end."""
    folder, marks = tmp_path / "current", tmp_path / "marks"
    for one in (folder, marks):
        one.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(FILE.format(mark=str(marks / name)))
    yield folder
    assert [mark.name for mark in marks.iterdir()] == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More files than an ingest reads in its own process, in a format that it leaves to worker processes."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(5).integers(0, 255, (16, 48, 48, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def start(environment: Path, folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts the installed program in that folder, with no other folder to import from than its own."""
    begun: list[Started] = []

    def start(*words: object, **variables: str) -> Started:
        given = {"PYTHONPATH": "", **variables}
        program = [str(environment / "bin" / "medsiglip")]
        one = Started(tmp_path / "home", tuple(map(str, words)), None, given, program=program, folder=folder)
        begun.append(one)
        return one

    yield start
    for one in begun:
        one.end()


def run(environment: Path, folder: Path, *words: object) -> str:
    """The standard output of a program of the environment, run in `folder`."""
    program, *rest = map(str, words)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [environment / "bin" / program, *rest],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"medsiglip"}
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in packaged(ROOT / package)
        if path.is_file() and path.suffix in {".py", ".toml", ".json", ".safetensors", ".model", ".typed"}
    }
    inside = {source if source.startswith("medsiglip/") else f"medsiglip/{source}" for source in sources}
    assert inside - set(names) == set()


def test_the_wheel_comes_from_where_it_was_installed(environment: Path, tmp_path: Path) -> None:
    code = "import medsiglip, medsiglip.index, medsiglip.ingest; print(medsiglip.index.__file__)"
    assert Path(run(environment, tmp_path, "python", "-c", code).strip()).is_relative_to(environment)


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


@pytest.mark.long
def test_ingest_search_and_render(start: Start, pictures: Path, tmp_path: Path) -> None:
    ingest = start("ingest", pictures, "--workers", "2")
    eventually(lambda: "medsiglip.ingest.workers.worker" in modules_of_children(ingest))
    report = result(ingest)
    assert (report["files_embedded"], report["quarantined"]) == (16, [])
    assert len(result(start("search", "--text", "a photograph", "-k", "3"))["hits"]) == 3
    shown = result(start("render", pictures, "--out", tmp_path / "shown"))
    assert len(shown["images"]) == 16


@pytest.mark.long
def test_the_demonstration(start: Start) -> None:
    assert result(start("demo", "--studies", "48"))["ingest"]["studies"] == 48


@pytest.mark.long
def test_serve(start: Start, pictures: Path) -> None:
    served = start("serve", "--host", "127.0.0.2", "--port", "0", MEDSIGLIP_INGEST_ROOTS=str(pictures))
    url = str(served.answer()["url"])
    assert url.startswith("http://127.0.0.2:")
    with httpx.Client(base_url=url, timeout=60) as http:
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


@pytest.mark.long
def test_a_script_beside_a_user_s_own_modules_imports_ours(
    start: Start, environment: Path, folder: Path, pictures: Path, tmp_path: Path
) -> None:
    """Modules of the names of Python's or of libraries are another matter: Python puts the folder of a script
    before them, for every program there.
    """
    assert result(start("ingest", pictures / "0.jpg"))["embedded"] == 1
    for name in set(NAMES) - OWN:
        (folder / f"{name}.py").unlink()
    (folder / "script.py").write_text(SCRIPT)
    client, images = json.loads(run(environment, folder, "python", "script.py", tmp_path / "home"))
    assert (client.split(".")[0], images) == ("medsiglip", 1)
