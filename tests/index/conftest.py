"""Puts `index_cases` within reach of the tests and opens a fresh home for each; tables are made once."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    migrated = tmp_path_factory.mktemp("index") / "home"
    with CaseIndex.open(migrated) as opened:
        opened.activate(SPACE)
    return migrated


@pytest.fixture
def index(home: Path, _migrated: Path) -> Iterator[CaseIndex]:
    shutil.copytree(_migrated, home)
    with CaseIndex.open(home) as opened:
        yield opened
