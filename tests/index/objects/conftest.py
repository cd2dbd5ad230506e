"""One object server for the tests of this folder, and homes whose files lie in its buckets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.object_server import ObjectServer, object_server


@pytest.fixture(scope="package")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """The server."""
    with object_server(tmp_path_factory.mktemp("objects")) as server:
        yield server
