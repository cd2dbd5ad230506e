"""One object server for the tests of this folder, and homes whose files lie in its buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.index.objects.machines import Machines
from tests.object_server import ObjectServer, object_server


@pytest.fixture(scope="package")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """The server."""
    with object_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def make_machines(tmp_path: Path, objects: ObjectServer, _migrated: Path) -> Callable[..., Machines]:
    """Makes machines that share a new bucket of this kind."""
    return lambda **kind: Machines(tmp_path, objects, _migrated, **kind)


@pytest.fixture
def machines(make_machines: Callable[..., Machines]) -> Machines:
    """Machines that share a bucket with versions."""
    return make_machines(versioned=True)
