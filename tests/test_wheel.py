"""The wheel, installed beside nothing but the libraries, in a folder that holds modules of a user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.service_processes import Started
from tests.import_graph import PACKAGES
from tests.repository import ROOT

OWN = ("api.py", "index.py", "ingest.py", "numpy.py")
# Each leaves its name behind, where it is run.
MARK = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
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
def user(tmp_path: Path) -> Iterator[Path]:
    """The folder of a user; none of the modules there has been run in the end."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in OWN:
        (folder / name).write_text(MARK)
    yield folder
    assert list(folder.glob("*.ran")) == []


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
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in {".py", ".toml", ".json", ".safetensors", ".model", ".typed"}
    }
    inside = {source if source.startswith("medsiglip/") else f"medsiglip/{source}" for source in sources}
    assert inside - set(names) == set()


def test_the_wheel_comes_from_where_it_was_installed(environment: Path, user: Path) -> None:
    code = "import medsiglip, medsiglip.index, medsiglip.ingest; print(medsiglip.index.__file__)"
    (user / "numpy.py").unlink()
    assert Path(run(environment, user, "python", "-c", code).strip()).is_relative_to(environment)


def test_commands_work_in_a_folder_of_a_user_s_own_modules(
    environment: Path, user: Path, phantom_file: Path
) -> None:
    home = ("--home", user / "home", "--model", "tiny", "--json")
    report = json.loads(run(environment, user, "medsiglip", *home, "ingest", phantom_file))
    assert report["embedded"] == 1
    found = json.loads(run(environment, user, "medsiglip", *home, "search", "--text", "chest CT"))
    assert len(found["hits"]) == 1
    served = Started(
        user / "home",
        ("serve", "--port", "0"),
        program=[str(environment / "bin" / "medsiglip")],
        folder=user,
        environment={"PYTHONPATH": ""},
    )
    try:
        url = str(served.answer()["url"])
        with httpx.Client(base_url=url, timeout=60) as client:
            assert client.get("/v1/info").json()["index"]["images"] == 1
            answer = client.post("/v1/search", json={"text": "chest CT"})
            assert len(answer.raise_for_status().json()["hits"]) == 1
    finally:
        served.end()
    shutil.rmtree(user / "home")


def test_a_script_beside_a_user_s_own_modules_imports_ours(
    environment: Path, user: Path, phantom_file: Path
) -> None:
    """`numpy.py` is another matter: Python itself puts it before the library, for every program there."""
    (user / "numpy.py").unlink()
    run(environment, user, "medsiglip", "--home", user / "home", "--model", "tiny", "ingest", phantom_file)
    (user / "script.py").write_text(SCRIPT)
    client, images = json.loads(run(environment, user, "python", "script.py", user / "home"))
    assert (client.split(".")[0], images) == ("medsiglip", 1)


@pytest.fixture(scope="module")
def phantom_file() -> Path:
    """One slice of a phantom of chest CT."""
    return ROOT / "tests" / "homes" / "query.dcm"
