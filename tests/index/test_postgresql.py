"""What holds for SQLite holds for PostgreSQL: the installed server is started for these tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import FileRecord
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    """A fresh database."""
    return new_database()


def life(home: Path, url: str | None) -> list[object]:
    """What two patients, labels, filters and forgetting leave in a home, step by step."""
    first = make_bundle(0, 2, patient="patient-0")
    study = replace(first.study, identity={"patient_name": "Doe^Jane"})
    images = [replace(one, quality={"view": "lateral", "blank": 0, "contrast": 0.25}) for one in first.images]
    first = replace(first, study=study, images=tuple(images))
    second = make_bundle(1, 2, patient="patient-1")
    images = [
        replace(one, quality={"view": "unknown", "blank": 1, "lossy_ratio": 8}) for one in second.images
    ]
    second = replace(second, images=tuple(images))
    seen: list[object] = []
    with CaseIndex.open(home, database_url=url) as index:
        index.activate(SPACE)
        index.bind_key("ab" * 8, "keep")
        index.add([first, second], unit_vectors(4, 1))
        index.labels.put([LabelRecord("nodule", 1, "study_instance_uid", "2.25.0")])
        refused = FileRecord("/sr/\udcff.dcm", 1, 1, None, "skipped", "x", patient_key="patient-0")
        index.files.put([refused, FileRecord("/sr/letter.pdf", 1, 1, None, "skipped", "x")])
        seen += [index.phi, index.study("2.25.0").study.identity, sorted(index.files.by_path())]
        for expression in EXPRESSIONS:
            try:
                found = [one.study_instance_uid for one in index.studies([expression])]
            except CatalogError as error:
                seen.append((expression, error.code))
            else:
                seen.append((expression, found))
        seen += [index.search(unit_vectors(1, 1), k=9)[0], index.remove_patient("patient-0")]
        seen += [sorted(index.files.by_path()), index.verify().problems, index.info().patients]
    with CaseIndex.open(home, database_url=url) as again, pytest.raises(CatalogError) as caught:
        again.bind_key("ab" * 8, "strict")
    return [*seen, caught.value.code]


EXPRESSIONS = (
    "quality.view=lateral",
    "quality.view!=lateral",
    "quality.view=1",
    "quality.view>1",
    "quality.blank=1",
    "quality.blank=0|1",
    "quality.blank=true",
    "quality.contrast<0.3",
    "quality.lossy_ratio>=8",
    "quality.lossy_ratio=",
    "quality.blank=lateral",
    "quality.nothing=1",
    "label:nodule=1",
    "label:nodule!=1",
    "modality=ct|mr",
    "modality!=CT",
    "study_date>2000-02",
    "patient_age>=1",
    "rows>0",
)


def test_a_home_lives_on_postgresql_as_it_does_on_sqlite(tmp_path: Path, url: str) -> None:
    assert life(tmp_path / "here", url) == life(tmp_path / "there", None)


def test_a_home_whose_database_is_lost_closes_and_keeps_no_snapshot(
    tmp_path: Path, url: str, postgresql_server: PostgresqlServer
) -> None:
    with CaseIndex.open(tmp_path, database_url=url) as index:
        index.activate(SPACE)
        index.add([make_bundle(0, 2)], unit_vectors(2, 1))
        assert index.search(unit_vectors(1, 1), k=1)[0]
    assert list((tmp_path / "faiss").iterdir())
    index = CaseIndex.open(tmp_path, database_url=url)
    index.add([make_bundle(1, 2)], unit_vectors(2, 2))
    assert index.search(unit_vectors(1, 1), k=1)[0]
    postgresql_server.drop(url)
    index.close()
    assert not list((tmp_path / "faiss").iterdir())
