"""Machines that share an archive whose files lie in a bucket."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from tests.object_server import ObjectServer


class Machines:
    """Machines with homes of their own, one catalogue and one bucket."""

    def __init__(self, folder: Path, objects: ObjectServer, migrated: Path, **kind: bool) -> None:
        """`migrated` is a home with all tables and a space, whose catalogue is copied as one that has no
        place for objects yet.
        """
        self.objects, self.folder = objects, folder
        self.bucket = objects.new_bucket(**kind)
        self.catalogue = folder / "shared.db"
        self.url = f"sqlite:///{self.catalogue}"
        shutil.copyfile(migrated / "catalog.db", self.catalogue)
        with closing(sqlite3.connect(self.catalogue)) as connection, connection:
            connection.execute("UPDATE home SET object_store = NULL")
        self.place = objects.place(self.bucket)

    def open(self, name: str, **options: Any) -> CaseIndex:
        """The index of a machine."""
        given: dict[str, Any] = {"database_url": self.url, "objects": self.place, **options}
        return CaseIndex.open(self.folder / name, **given)

    def shards(self) -> list[str]:
        """The keys of all versions of shards."""
        return [name for name in self.objects.versions(self.bucket) if "/vectors/" in name]

    def copies(self, name: str) -> list[Path]:
        """The copies of shards that a machine has."""
        return sorted((self.folder / name / "object-cache" / "vectors").rglob("*.parquet"))

    def doomed(self) -> list[str]:
        """What is listed for deletion."""
        with closing(sqlite3.connect(self.catalogue)) as connection:
            return [row[0] for row in connection.execute("SELECT pattern FROM doomed_files ORDER BY pattern")]

    def execute(self, statement: str, *values: object) -> None:
        """Change the catalogue."""
        with closing(sqlite3.connect(self.catalogue)) as connection, connection:
            connection.execute(statement, values)

    @contextmanager
    def away(self, index: CaseIndex) -> Iterator[None]:
        """The bucket cannot be reached by a machine while the block runs; its client does not wait between
        tries.
        """
        from botocore.exceptions import EndpointConnectionError

        def fail(**_: object) -> None:
            raise EndpointConnectionError(endpoint_url=self.objects.url)

        client: Any = index.objects._client  # type: ignore[attr-defined]
        client.meta.events.register("before-send.s3", fail)
        with pytest.MonkeyPatch.context() as patch:
            unhurried = {**vars(time), "sleep": lambda _seconds: None}
            patch.setattr("botocore.endpoint.time", SimpleNamespace(**unhurried))
            yield
        client.meta.events.unregister("before-send.s3", fail)
