"""A home that follows a scripted PACS, and what it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.ingest.pacs import opening
from tests.api.archive.pacs.quick_program import quick_encoder
from tests.api.archive.pacs.scripted_pacs import ScriptedPacs

# A study date that every sync looks at.
LATE = "20991231"


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> ScriptedPacs:
    made = ScriptedPacs()
    monkeypatch.setattr(opening, "open_client", made.open)
    monkeypatch.setattr(OpenedArchive, "encoder_of", quick_encoder)
    return made


@pytest.fixture
def open_home(pacs: ScriptedPacs, tmp_path: Path) -> Callable[[], Archive]:
    assert not pacs.files
    return lambda: Archive(tmp_path / "home", workers=1)


@pytest.fixture
def archive(open_home: Callable[[], Archive]) -> Iterator[Archive]:
    with open_home() as opened:
        opened.add_pacs("main", url="http://127.0.0.1:9/dicom-web")
        yield opened


def held(archive: Archive) -> set[str]:
    """The SOP Instance UIDs in the catalogue, each of which is there once."""
    with sqlite3.connect(archive.home / "catalog.db") as connection:
        found = [row[0] for row in connection.execute("SELECT sop_instance_uid FROM instances")]
    connection.close()
    assert len(found) == len(set(found))
    return set(found)


def states(archive: Archive) -> dict[str, str]:
    return {one.study_instance_uid: one.status for one in archive.index.pacs_studies.page("main")}


def nothing_lies_about(archive: Archive) -> bool:
    """Whether `received` holds what the index uses, and no more."""
    place = archive.home / "received"
    files = {str(path) for path in place.rglob("*") if path.is_file()}
    return files == archive.index.files.embedded_below(str(place))
