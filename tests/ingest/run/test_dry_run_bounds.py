"""A dry run says which of its counts are bounds, and its tables add up to them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import run
from tests.ingest.slides.slide_cases import glass, save, slide, tissue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slide of six places for patches, of which three are glass, and a plain picture."""
    made = tmp_path / "files"
    made.mkdir()
    matrix = np.concatenate([tissue(448, 1344), glass(448, 1344)])
    save(slide(matrix), made / "slide.dcm")
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(made / "plain.png")
    return made


def test_counts_of_slides_are_bounds_and_the_tables_have_the_same_sum(tmp_path: Path, folder: Path) -> None:
    reports = [tmp_path / "dry.csv", tmp_path / "dry.html"]
    words = ("--dry-run", "--report", reports[0], "--report", reports[1])
    dry = run("--home", tmp_path / "home", "--json", "ingest", folder, *words).json
    real = run("--home", tmp_path / "home", "--json", "ingest", folder).json
    assert (dry["at_most"], real.get("at_most", False)) == (True, False)
    assert dry["embedded"] == dry["images"] >= real["embedded"] == 4
    with reports[0].open(newline="") as stream:
        assert sum(int(line["images"]) for line in csv.DictReader(stream)) == dry["embedded"]
    page = reports[1].read_text()
    groups = re.findall(r'class="quiet">(at most )?([\d,]+) images', page)
    assert sum(int(count.replace(",", "")) for _, count in groups) == dry["embedded"]
    assert sorted(bound for bound, _ in groups) == ["", "at most "]
    assert "images new, at most" in page
    shown = run("--home", tmp_path / "other", "ingest", folder, "--dry-run").out
    assert f"at most {dry['images']}: at most {dry['embedded']} embedded" in shown


def test_counts_of_other_files_are_exact(tmp_path: Path, folder: Path) -> None:
    dry = run("--home", tmp_path / "home", "--json", "ingest", folder / "plain.png", "--dry-run").json
    assert (dry["at_most"], dry["embedded"]) == (False, 1)
    shown = run("--home", tmp_path / "home", "ingest", folder / "plain.png", "--dry-run").out
    assert "at most" not in shown
