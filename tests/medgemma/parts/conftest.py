"""An empty index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(tmp_path / "home") as opened:
        yield opened
