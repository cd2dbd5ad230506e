"""The built files: made of these sources, no larger than promised, with the licences of what is in them."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository import ROOT

WEB = ROOT / "api" / "web"
BUILT = WEB / "built"
CHUNKS: dict[str, dict[str, object]] = json.loads((BUILT / "chunks.json").read_text(encoding="utf-8"))


def packed(*names: str) -> int:
    """Bytes of files after gzip, each on its own, as a server sends them."""
    return sum(len(gzip.compress((BUILT / name).read_bytes(), 9, mtime=0)) for name in names)


def entry(source: str) -> str:
    """The built file of a source file that is loaded on its own."""
    [name] = [name for name, one in CHUNKS.items() if one["entry"] == source]
    return name


def needed(source: str) -> set[str]:
    """All files that are loaded with an entry before it runs."""
    found: set[str] = set()
    waiting = [entry(source)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(CHUNKS[name]["imports"])  # type: ignore[arg-type]
    return found


def test_the_shell_and_its_styles_are_small() -> None:
    assert packed(*needed("src/main.tsx"), *needed("src/theme.ts")) <= 120_000
    assert packed(entry("src/styles/app.css")) <= 20_000


def test_the_map_and_the_viewer_are_loaded_by_their_pages_alone() -> None:
    shell = needed("src/main.tsx")
    for page in ("cases", "search", "label", "models", "drafts", "ingest", "pacs", "audit"):
        assert packed(*needed(f"src/pages/{page}/page.tsx") - shell) <= 60_000, page
    assert packed(*needed("src/pages/map/page.tsx") - shell, *_lazy("map")) <= 90_000
    assert packed(*needed("src/pages/case/page.tsx") - shell, *_lazy("case")) <= 1_100_000


def _lazy(page: str) -> set[str]:
    """What a page loads later, by itself."""
    own = needed(f"src/pages/{page}/page.tsx") - needed("src/main.tsx")
    later = {str(name) for one in own for name in CHUNKS[one]["lazy"]}  # type: ignore[attr-defined]
    found = set(later)
    while later:
        name = later.pop()
        more = {str(other) for other in CHUNKS[name]["imports"]} - found  # type: ignore[attr-defined]
        found |= more
        later |= more
    return found - own - needed("src/main.tsx")


def test_every_package_is_there_with_its_licence() -> None:
    licences = (BUILT / "LICENSES.txt").read_text(encoding="utf-8")
    described = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    for name in described["dependencies"]:
        assert f"{name} " in licences, name


def test_nothing_built_names_another_server() -> None:
    """Addresses in texts of libraries are not asked; those of scripts, fonts and styles would be."""
    page = (BUILT / "index.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert "@import" not in (BUILT / entry("src/styles/app.css")).read_text(encoding="utf-8")


def test_the_files_are_those_that_the_sources_make(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("node or its packages are not there: `make screen-install` gets the packages")
    subprocess.run([node, "build.mjs", str(tmp_path / "built")], cwd=WEB, check=True, capture_output=True)
    made = {path.relative_to(tmp_path / "built") for path in (tmp_path / "built").rglob("*")}
    assert made == {path.relative_to(BUILT) for path in BUILT.rglob("*")}
    for name in made:
        assert (tmp_path / "built" / name).read_bytes() == (BUILT / name).read_bytes(), name
    checked = subprocess.run(
        [node, "node_modules/typescript/bin/tsc", "--noEmit"], cwd=WEB, capture_output=True
    )
    assert checked.returncode == 0, checked.stdout.decode()
