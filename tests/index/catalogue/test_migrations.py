from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import migrations
from medsiglip.index.catalogue.schema import metadata
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, make_older_home, unit_vectors
from tests.repository import ROOT


def test_the_migrations_make_the_tables_that_the_code_speaks_of(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    engine = create_engine(catalogue.url_in(home))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
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
    }
    engine.dispose()


def test_the_head_named_in_the_code_is_alembic_s() -> None:
    assert ScriptDirectory.from_config(migrations.configuration()).get_heads() == [migrations.HEAD]


def test_going_down_leaves_nothing(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    from alembic import command

    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        config = migrations.configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_an_existing_home_opens_and_lists_its_files_without_heavy_imports(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.close()
    program = (
        "import sys, json, pathlib\n"
        "from medsiglip.index.case_index import CaseIndex\n"
        "with CaseIndex.open(pathlib.Path(sys.argv[1]), database_url=sys.argv[2] or None) as index:\n"
        "    files = index.known_files()\n"
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


@pytest.mark.parametrize(("fingerprint", "phi"), [("ab" * 8, "pseudonymous"), (None, None)])
def test_an_older_home_is_pseudonymous_once_it_holds_anybody(
    home: Path, catalogue: Catalogue, fingerprint: str | None, phi: str | None
) -> None:
    home.mkdir()
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        make_older_home(connection, fingerprint)
    engine.dispose()
    with catalogue.open(home) as index:
        assert (index.phi, index.known_files()["/a"].patient_key) == (phi, None)


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


def test_two_processes_may_make_the_same_home(home: Path, catalogue: Catalogue) -> None:
    program = (
        "import sys, pathlib\n"
        "from medsiglip.index.case_index import CaseIndex\n"
        "CaseIndex.open(pathlib.Path(sys.argv[1]), database_url=sys.argv[2] or None).close()\n"
    )
    command = [sys.executable, "-c", program, str(home), catalogue.url or ""]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    with catalogue.open(home) as index:
        index.activate(SPACE)
        assert index.verify().ok
