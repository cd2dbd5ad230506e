"""A database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql_server import PostgresqlServer


@pytest.fixture
def url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    made = postgresql_server.new_database()
    yield made
    postgresql_server.drop(made)
