"""The tiny generator, made once for all tests, and a scripted server for each module that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.medgemma.scripted_server import Script, serving
from tests.medgemma.tiny_gemma import write_tiny_gemma


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Gemma 3 checkpoint."""
    return write_tiny_gemma(tmp_path_factory.mktemp("gemma") / "tiny")


@pytest.fixture(scope="module")
def running() -> Iterator[Script]:
    with serving(Script()) as script:
        yield script


@pytest.fixture
def script(running: Script) -> Script:
    """A server of chat completions without anything to say yet."""
    running.reset()
    return running
