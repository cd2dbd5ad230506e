"""A home of many labelled studies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.api.conftest import Home
from tests.api.labelled_studies import make_labelled_home


@pytest.fixture(scope="session")
def labelled_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home, which tests must not change."""
    path = tmp_path_factory.mktemp("labelled") / "home"
    make_labelled_home(path)
    return Home(path, {})


@pytest.fixture
def many(labelled_home: Home, tmp_path: Path) -> Home:
    """A copy of that home, which a test may change."""
    shutil.copytree(labelled_home.path, tmp_path / "home")
    return Home(tmp_path / "home", {})
