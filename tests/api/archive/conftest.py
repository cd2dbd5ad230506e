"""Catalogues in a home's SQLite and in databases of a server, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from medsiglip.index.catalogue.schema import metadata

NewCatalogue = Callable[[], str | None]
"""Gives the place of a new catalogue: the URL of an empty database, or None for SQLite in a home."""


@pytest.fixture(scope="package", autouse=True)
def _one_process_renders() -> Iterator[None]:
    """Ingests of these tests start one process, not one for each core: they are about what comes after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSIGLIP_WORKERS", "1")
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def new_catalogue(request: pytest.FixtureRequest) -> NewCatalogue:
    if request.param == "sqlite":
        return lambda: None
    made: Callable[[], str] = request.getfixturevalue("new_database")
    return made


def rows_of(url: str | None, home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the catalogue of a home, by table."""
    engine = create_engine(url or f"sqlite:///{home / 'catalog.db'}")
    with engine.connect() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return found
