"""What all tests share: real data where there are any, and long campaigns only when asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.markexpr:
        config.option.markexpr = "not campaign"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real files that MEDSIGLIP_TEST_DATA names; without it the test is skipped."""
    named = os.environ.get("MEDSIGLIP_TEST_DATA")
    if not named:
        pytest.skip("MEDSIGLIP_TEST_DATA names no folder of real files")
    folder = Path(named)
    if not (folder / "manifest.csv").is_file():
        pytest.fail(f"MEDSIGLIP_TEST_DATA is {folder}, which holds no manifest.csv")
    return folder
