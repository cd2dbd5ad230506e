"""The documents: they build without warnings, load nothing from other sites, and name files that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.documents import PAGES
from tests.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = (
    "api",
    "benchmarks",
    "deploy",
    "docker",
    "docs",
    "index",
    "ingest",
    "medgemma",
    "medsiglip",
    "phantoms",
    "tests",
)
DOCUMENTS = ("DECISIONS.md", "CONTRIBUTING.md", "SECURITY.md", "NOTICE", "CHANGELOG.md", "Makefile", *PAGES)
MOST_LINES = 15
"""Lines of an entry of DECISIONS.md."""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def folder(package: str) -> str:
    """Where a package or module lies, without a suffix."""
    places: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
    root = max((one for one in places if f"{package}.".startswith(f"{one}.")), key=len)
    return places[root] + package.removeprefix(root).replace(".", "/")


def paths(name: str) -> set[str]:
    """The paths of this repository that a document names."""
    words = re.findall(r"[\w./*-]+/[\w./*-]*\w", text(name))
    return {word for word in words if word.split("/")[0] in FOLDERS}


def entries() -> dict[str, list[str]]:
    """The entries of DECISIONS.md: heading to lines."""
    parts = re.split(r"^### ", text("DECISIONS.md"), flags=re.MULTILINE)[1:]
    lines = [re.split(r"^(?:## |<!--)", part, flags=re.MULTILINE)[0].rstrip().splitlines() for part in parts]
    return {first: rest for first, *rest in lines}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_exist(name: str) -> None:
    assert [path for path in sorted(paths(name)) if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_modules_exist(name: str) -> None:
    for dotted in set(re.findall(r"\bmedsiglip(?:\.[a-z_]+)+(?!\w)", text(name))):
        module, attribute = ROOT / folder(dotted), ROOT / folder(dotted.rpartition(".")[0])
        known = module.is_dir() or any(one.with_suffix(".py").is_file() for one in (module, attribute))
        assert known or dotted == "medsiglip.toml", f"{name}: {dotted}"


@pytest.mark.parametrize("heading", entries())
def test_a_decision_names_its_files_and_is_short(heading: str) -> None:
    lines = entries()[heading]
    assert 1 + len(lines) <= MOST_LINES
    assert re.fullmatch(r"Governs: `[^`]+`(?:, `[^`]+`)*\.", lines[0])
    governed = re.findall(r"`([^`]+)`", lines[0])
    assert [name for name in governed if not (ROOT / name).is_file()] == []


def test_decisions_have_chapters() -> None:
    chapters = re.findall(r"^## (.+)$", text("DECISIONS.md"), re.MULTILINE)
    assert chapters == ["Files", "Rendering", "Storage", "Search", "Model", "Drafts", "HTTP", "Operations"]


def test_the_tree_has_every_folder_of_code() -> None:
    tree = set(re.findall(r"^ *([\w/]+)/  ", text("CONTRIBUTING.md"), re.MULTILINE))
    assert {folder(name) for name in PROJECT["tool"]["setuptools"]["packages"]} <= tree
    assert [name for name in tree if not (ROOT / name).is_dir()] == []


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        loaded = re.findall(r'<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)="([^"]*)"', page.read_text())
        assert [one for one in loaded if re.match(r"(?:https?:)?//", one)] == []


def test_the_site_has_every_page_in_its_navigation() -> None:
    navigation = yaml.safe_load(text("mkdocs.yml"))["nav"]
    assert set(re.findall(r"[\w-]+\.md", str(navigation))) == {Path(page).name for page in PAGES[1:]}


def test_the_readme_is_three_screens_and_links_to_every_page() -> None:
    assert len(text("README.md").splitlines()) <= 125
    assert set(re.findall(r"\(docs/([\w-]+\.md)\)", text("README.md"))) == {
        Path(page).name for page in PAGES[1:]
    }


def test_the_citation_is_valid_and_of_this_version() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    done = subprocess.run([*command, str(ROOT / "CITATION.cff")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"] == "Apache-2.0"


def test_the_licence_is_there_and_the_image_has_it() -> None:
    assert "Apache License" in text("LICENSE")
    for name in PROJECT["project"]["license-files"]:
        assert (ROOT / name).is_file()
        assert f"!{name}" in text(".dockerignore").splitlines()


def test_figures_are_those_of_the_results() -> None:
    first, _, second = text("docs/benchmarks.md").partition("### On an Intel")
    for page, machine in ((first, "amd-epyc"), (second, "intel-xeon-processor")):
        results = json.loads(text(f"benchmarks/results/{machine}-2-cores.json"))["ratios"]
        shown = dict(re.findall(r"^\| ([AHM]\d+[A-Z]*) \| ([\d.]+) \|", page, re.MULTILINE))
        assert shown.keys() == results.keys()
        for name, figure in shown.items():
            digits = len(figure.partition(".")[2])
            assert float(figure) == round(results[name]["ratio"], digits), name
