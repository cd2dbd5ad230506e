"""The tiny generator, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.medgemma.tiny_gemma import write_tiny_gemma


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Gemma 3 checkpoint."""
    return write_tiny_gemma(tmp_path_factory.mktemp("gemma") / "tiny")
