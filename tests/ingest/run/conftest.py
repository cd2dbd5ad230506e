"""A home, and ingests into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return tmp_path / "home"


@pytest.fixture
def run(home: Any, model: Any, encoder: Any) -> Any:
    def run(*paths: Any, metadata: Any = None, **options: Any) -> Any:
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
