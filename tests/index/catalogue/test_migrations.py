from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import migrations
from medsiglip.index.catalogue.full_text import search_tables
from medsiglip.index.catalogue.schema import metadata
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.repository import ROOT


def test_the_migrations_make_the_tables_that_the_code_speaks_of(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    engine = create_engine(catalogue.url_in(home))
    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": is_no_search_index}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        checks = {
            check["name"]
            for table in metadata.tables
            for check in inspect(connection).get_check_constraints(table)
        }
    assert checks == {
        "ck_home_single_row",
        "ck_labels_level",
        "ck_jobs_status",
        "ck_route_decisions_outcome",
        "ck_drafts_status",
        "ck_report_texts_source",
        "ck_reader_labels_level",
        "ck_pacs_studies_status",
        "ck_pacs_deliveries_format",
        "ck_pacs_deliveries_status",
        "ck_vector_changes_kind",
    }
    engine.dispose()


def is_no_search_index(name: str | None, *_: Any) -> bool:
    """Whether SQLAlchemy knows of it: not of what SQLite and PostgreSQL have for full-text search."""
    is_table, is_vector = search_tables.TABLE in (name or ""), search_tables.VECTOR in (name or "")
    return not is_table and not is_vector


def test_the_head_named_in_the_code_is_alembic_s() -> None:
    assert ScriptDirectory.from_config(migrations.configuration()).get_heads() == [migrations.HEAD]


def test_an_existing_home_opens_and_lists_its_files_without_heavy_imports(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.close()
    program = (
        "import sys, json, pathlib\n"
        "from medsiglip.index.case_index import CaseIndex\n"
        "with CaseIndex.open(pathlib.Path(sys.argv[1]), database_url=sys.argv[2] or None) as index:\n"
        "    files = index.files.by_path()\n"
        "heavy = {'alembic', 'faiss', 'pyarrow', 'torch', 'sqlalchemy.orm'} & set(sys.modules)\n"
        "print(json.dumps([len(files), sorted(heavy)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(home), catalogue.url or ""],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert json.loads(done.stdout) == [2, []]


def test_a_newer_home_is_refused_and_left_alone(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    index.close()
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogError, match="newer version") as caught:
        catalogue.open(home)
    assert caught.value.code == "newer-home"
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_a_home_of_a_pre_release_is_refused_and_left_alone(
    index: CaseIndex, home: Path, catalogue: Catalogue, revision: str
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.close()
    (home / "identity.json").unlink()  # which such homes do not have
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :old").bindparams(old=revision))
        connection.execute(text("ALTER TABLE home DROP COLUMN identity"))
        version = text("SELECT version_num, version, next_id FROM alembic_version, home")
        before = connection.execute(version).one()
    files = {path: path.stat().st_mtime_ns for path in home.rglob("*") if "catalog.db" not in path.name}
    for create in (True, False):
        with pytest.raises(CatalogError, match=f"pre-release.*{revision}.*--home") as caught:
            catalogue.open(home, create=create)
        assert caught.value.code == "older-home"
    with engine.begin() as connection:
        assert connection.execute(version).one() == before
    engine.dispose()
    assert before.version_num == revision
    assert files == {path: path.stat().st_mtime_ns for path in home.rglob("*") if path in files}


LATER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9998", "HEAD"


def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    op.add_column("files", sa.Column("later", sa.String()))
"""


def test_a_later_revision_is_run_when_a_home_is_opened(
    index: CaseIndex, home: Path, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.close()
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.FOLDER, folder)
    (folder / "versions" / "catalog_9998.py").write_text(LATER.replace("HEAD", migrations.HEAD))
    monkeypatch.setattr(migrations, "FOLDER", folder)
    monkeypatch.setattr(migrations, "HEAD", "9998")
    for _ in range(2):  # the second time there is nothing to do
        with catalogue.open(home) as again:
            assert again.verify().ok
            assert again.files.by_path().keys() == {"/data/1/0/0.dcm", "/data/1/0/1.dcm"}
    engine = create_engine(catalogue.url_in(home))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9998"
        assert inspect(connection).has_table("later")
        assert "later" in {column["name"] for column in inspect(connection).get_columns("files")}
    engine.dispose()


def test_two_processes_may_make_the_same_home(home: Path, catalogue: Catalogue) -> None:
    program = (
        "import sys, pathlib\n"
        "from medsiglip.index.case_index import CaseIndex\n"
        "CaseIndex.open(pathlib.Path(sys.argv[1]), database_url=sys.argv[2] or None).close()\n"
    )
    command = [sys.executable, "-c", program, str(home), catalogue.url or ""]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    with catalogue.open(home) as index:
        index.activate(SPACE)
        assert index.verify().ok
