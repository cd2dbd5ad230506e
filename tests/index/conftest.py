"""Puts `index_cases` within reach of the tests and opens a fresh home for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from index_cases import SPACE

from index.case_index import CaseIndex


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def index(home: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(home) as opened:
        opened.activate(SPACE)
        yield opened
