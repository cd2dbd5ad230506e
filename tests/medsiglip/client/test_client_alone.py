"""The client works where nothing is installed but what requirements-client.txt names."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService
from tests.repository import ROOT

ABSENT = ("torch", "numpy", "fastapi", "sqlalchemy", "pydicom", "medsiglip.index", "medsiglip.api")
USE = f"""
import importlib, json, os, sys

sys.path[:0] = os.environ["PLACES"].split(os.pathsep)
from medsiglip import Client

for name in {ABSENT}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{{name}} is there")
with Client(os.environ["URL"], api_key=os.environ["KEY"]) as client:
    done = client.wait(client.upload(os.environ["FILE"]))
    [scored] = client.classify_files([os.environ["FILE"]], labels=["mole", "chest"])
    print(json.dumps({{
        "unchanged": done.result["unchanged"],
        "best": scored.best.label,
        "hits": len(client.search(text="mole", k=3).hits),
        "studies": sorted(one.study_instance_uid for one in client.studies()),
    }}))
"""


def required(names: list[str]) -> dict[str, Distribution]:
    """The distributions of these names and of all that they need, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in found:
            found[name] = distribution(name)
            needed = [Requirement(line) for line in found[name].requires or ()]
            waiting += [
                one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


def top_level(one: Distribution) -> Iterator[Path]:
    """The packages and modules that a distribution installs."""
    names = {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}
    for name in sorted(names):
        yield Path(str(one.locate_file(name)))


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """A folder of links to what the requirements name, and one that holds the package without the rest."""
    lines = (ROOT / "requirements-client.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    names = [Requirement(line).name for line in wanted]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(wanted) <= set(project["dependencies"])
    assert sorted(names) == ["httpx", "pydantic"]
    libraries, package = tmp_path / "libraries", tmp_path / "package"
    libraries.mkdir()
    package.mkdir()
    for one in required(names).values():
        for path in top_level(one):
            if not (libraries / path.name).exists():
                (libraries / path.name).symlink_to(path)
    (package / "medsiglip").symlink_to(ROOT / "medsiglip")
    return [package, libraries]


@pytest.mark.long
def test_it_asks_a_live_service(service: LiveService, phantoms: Phantoms, places: list[Path]) -> None:
    environment = {
        "PLACES": os.pathsep.join(map(str, places)),
        "URL": service.url,
        "KEY": service.keys["admin"],
        "FILE": str(min(phantoms.dicom.rglob("*.dcm"))),
    }
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", USE], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    with service.client() as client:
        studies = sorted(one.study_instance_uid for one in client.studies())
    assert f'"studies": {studies}'.replace("'", '"') in ran.stdout
    assert '"unchanged": 1' in ran.stdout
    assert '"best": "' in ran.stdout
    assert '"hits": 3' in ran.stdout
