"""A home, and ingests into it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds nothing, with all tables: to make them takes longer than many an ingest."""
    made = tmp_path_factory.mktemp("new") / "home"
    CaseIndex.open(made).close()
    return made


@pytest.fixture
def run(home: Any, empty_home: Path, model: Any, encoder: Any) -> Any:
    def run(*paths: Any, metadata: Any = None, **options: Any) -> Any:
        if not home.exists():
            shutil.copytree(empty_home, home)
        with CaseIndex.open(home) as index:
            report = ingest(
                paths, index, model, lambda: encoder, IngestOptions(metadata=metadata, **options)
            ).to_json()
            verification = index.verify()
        assert verification.ok, verification.problems
        counted = report["files_embedded"] + report["files_unchanged"]
        assert report["files"] == counted + len(report["skipped"]) + len(report["quarantined"])
        return report

    return run
