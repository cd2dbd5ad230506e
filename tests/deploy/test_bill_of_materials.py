"""`make sbom`: a CycloneDX file that is valid and names every package that runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest
from packaging.requirements import Requirement

from tests.repository import ROOT

EXTRAS = ("postgresql", "tracing")


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the recipe of the Makefile writes, without the validation that takes half a minute."""
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    shown = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.installed", "sbom"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (recipe,) = [line for line in shown.stdout.splitlines() if "cyclonedx-py" in line]
    words = shlex.split(recipe)
    words[words.index("--output-file") + 1] = str(file)
    subprocess.run([*words, "--no-validate"], cwd=ROOT, check=True, capture_output=True)
    made: dict[str, Any] = json.loads(file.read_text())
    return made


def schema(name: str) -> Any:
    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    stem = name.rsplit("/", 1)[-1].removesuffix(".schema.json").removesuffix(".SNAPSHOT")
    return json.loads((folder / f"{stem}.SNAPSHOT.schema.json").read_text())


def test_it_is_valid_by_the_schema_of_cyclonedx(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    validator = jsonschema_rs.validator_for(schema("bom-1.6"), retriever=schema)
    assert not list(validator.iter_errors(bill))
    assert not validator.is_valid({**bill, "specVersion": 7})


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def running() -> dict[str, str]:
    """All packages that `medsiglip[postgresql,tracing]` brings here, by pip's rules, and their versions."""
    found: dict[str, str] = {}
    waiting = [Requirement(f"medsiglip[{','.join(EXTRAS)}]")]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        key = canonical(requirement.name), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # an extra of this project that is not installed yet
        found[key[0]] = package.version
        for line in package.requires or ():
            needed = Requirement(line)
            asked = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(one) for one in asked):
                waiting.append(needed)
    del found["medsiglip"]
    return found


def test_it_names_every_package_that_runs_with_its_version(bill: dict[str, Any]) -> None:
    named = {canonical(one["name"]): one for one in bill["components"]}
    needed = running()
    assert len(needed) > 60
    assert {"torch", "numpy", "fastapi", "sqlalchemy", "psycopg", "pydicom"} <= set(needed)
    assert {name: named[name]["version"] for name in needed} == needed
    for name in needed:
        assert named[name]["purl"].startswith("pkg:pypi/")
    assert bill["metadata"]["component"]["name"] == "medsiglip"
    assert str(ROOT) not in json.dumps(bill)
