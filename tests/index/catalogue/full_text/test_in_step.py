"""Full-text search holds the words of the report texts that are stored, and of no others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.backups.backup import copy_catalogue, copy_rows
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, sqlite_only, unit_vectors
from tests.postgresql_server import PostgresqlServer

COUNT = 12
SECRETS = (b"zebrafish", b"quokkas", b"quokka", b"axolotl")


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Twelve studies of six patients, each with texts of two sources, in many transactions."""
    index.add([make_bundle(n, 1, patient=f"patient-{n // 2}") for n in range(COUNT)], unit_vectors(COUNT, 1))
    for n in range(COUNT):
        index.report_texts.put({f"2.25.{n}": f"Effusion, study{n}. Ground-glass."}, "import")
        index.report_texts.put({f"2.25.{n}": f"Caption of picture{n}"}, "metadata")
    return index


def found(index: CaseIndex, words: str) -> list[str]:
    return sorted(one.study_instance_uid for one in index.report_texts.find(words, limit=100))


def uids(*studies: int) -> list[str]:
    return sorted(f"2.25.{n}" for n in studies)


def test_texts_come_and_go_with_their_words(filled: CaseIndex) -> None:
    assert [filled.report_texts.at_least(most) for most in (0, 7, 400)] == [0, 7, 2 * COUNT]
    assert found(filled, "effusion") == uids(*range(COUNT))
    filled.report_texts.put({"2.25.0": "A nodule.", "2.25.1": "", "2.25.2": " \n"}, "import")
    assert found(filled, "effusion") == uids(*range(3, COUNT))
    assert found(filled, "nodule") == uids(0)
    assert found(filled, "picture1") == uids(1)
    filled.remove_study("2.25.3")
    filled.remove_patient("patient-2")
    assert found(filled, "effusion") == uids(*range(6, COUNT))
    assert found(filled, "caption") == uids(0, 1, 2, *range(6, COUNT))
    filled.add([make_bundle(3, 1)], unit_vectors(1, 3))
    assert found(filled, "study3") == []
    filled.report_texts.put({"2.25.3": "Effusion again"}, "import")
    assert found(filled, "effusion") == uids(3, *range(6, COUNT))
    assert filled.verify().problems == ()


@pytest.mark.parametrize("odd", ["\0", "\ud800", " \0\n"])
def test_texts_with_what_no_database_takes_are_stored_and_found(filled: CaseIndex, odd: str) -> None:
    filled.report_texts.put(
        {"2.25.0": f"A nodule,{odd} calcified.", "2.25.1": f"{odd}fracture{odd}"}, "import"
    )
    assert found(filled, "nodule calcified") == uids(0)
    assert found(filled, "fracture") == uids(1)
    [text] = filled.report_texts.of(["2.25.1"]).values()
    assert text.text.strip("?") == "fracture"
    assert filled.verify().problems == ()


def files_holding(home: Path, secrets: tuple[bytes, ...]) -> dict[str, list[bytes]]:
    every = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    held = {name: [one for one in secrets if one in content] for name, content in every.items()}
    return {name: ones for name, ones in held.items() if ones}


@sqlite_only
@pytest.mark.parametrize("how", ["study", "patient"])
def test_no_byte_of_forgotten_words_is_left(filled: CaseIndex, home: Path, how: str) -> None:
    """Also not of a text that another had replaced before, nor in the log."""
    filled.report_texts.put({"2.25.4": "A zebrafish and two quokkas."}, "import")
    filled.report_texts.put({"2.25.4": "Only a zebra-fish, axolotl."}, "import")
    others = {f"2.25.{n}": f"Many words: {' '.join(f'w{i}x{n}' for i in range(900))}." for n in range(COUNT)}
    filled.report_texts.put({**others, "2.25.4": "zebrafish"}, "metadata")
    assert files_holding(home, SECRETS)
    if how == "study":
        filled.remove_study("2.25.4")
    else:
        filled.remove_patient("patient-2")
    assert files_holding(home, SECRETS) == {}
    filled.close()
    assert files_holding(home, SECRETS) == {}


@sqlite_only
def test_no_byte_of_a_text_taken_back_is_left(filled: CaseIndex, home: Path) -> None:
    filled.report_texts.put({"2.25.4": "A zebrafish and two quokkas.", "2.25.5": "axolotl"}, "import")
    filled.report_texts.put({"2.25.4": "", "2.25.5": "Another."}, "import")
    filled.close()
    assert files_holding(home, SECRETS) == {}


DAMAGE = {
    "terms missing": ("DELETE FROM report_terms WHERE terms LIKE '%study3 %'", "1 of 24 report texts"),
    "other terms": (
        "UPDATE report_terms SET terms = ' x ' WHERE terms LIKE '%study4 %'",
        "1 of 24 report texts",
    ),
    "all missing": ("DELETE FROM report_terms", "24 of 24 report texts"),
}
OF_SQLITE = {
    "entry missing": (
        "INSERT INTO report_search (report_search, rowid, terms) "
        "SELECT 'delete', id, terms FROM report_terms LIMIT 1",
        "does not hold their words",
    ),
    "table missing": ("DROP TABLE report_search", "has no table"),
}


def damage(index: CaseIndex, home: Path, catalogue: Catalogue, statement: str) -> None:
    """Run a statement behind the back of the index; on SQLite without what keeps FTS5 in step."""
    index.close()
    engine = create_engine(catalogue.url_in(home), poolclass=NullPool)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite" and "DROP" in statement:
            for name in ("added", "removed"):
                connection.execute(text(f"DROP TRIGGER report_search_{name}"))
        connection.execute(text(statement))


def check_mended(home: Path, catalogue: Catalogue, said: str) -> None:
    with catalogue.open(home) as index:
        problems = index.verify().problems
        assert any(said in one and "index rebuild" in one for one in problems), problems
        assert not any("study" in one or "effusion" in one for one in problems)
        index.rebuild()
        assert index.verify().problems == ()
        assert found(index, "effusion") == uids(*range(COUNT))
        assert found(index, "ground-glass study4 -study3") == uids(*(n for n in range(COUNT) if n != 3))
        index.report_texts.put({"2.25.0": "New."}, "import")
        assert found(index, "new") == uids(0)


@pytest.mark.parametrize("name", DAMAGE)
def test_what_does_not_agree_is_told_and_mended(
    filled: CaseIndex, home: Path, catalogue: Catalogue, name: str
) -> None:
    statement, said = DAMAGE[name]
    damage(filled, home, catalogue, statement)
    check_mended(home, catalogue, said)


@sqlite_only
@pytest.mark.parametrize("name", OF_SQLITE)
def test_a_damaged_fts5_table_is_told_and_mended(
    filled: CaseIndex, home: Path, catalogue: Catalogue, name: str
) -> None:
    statement, said = OF_SQLITE[name]
    damage(filled, home, catalogue, statement)
    check_mended(home, catalogue, said)


@sqlite_only
def test_what_a_damaged_fts5_table_keeps_from_being_forgotten_says_how_to_mend_it(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    damage(filled, home, catalogue, "DELETE FROM report_search_data WHERE id > 10")
    with catalogue.open(home) as index:
        with pytest.raises(CatalogError, match="run `index rebuild`") as caught:
            index.remove_study("2.25.4")
        assert caught.value.code == "catalog-corrupt"
        assert index.study("2.25.4")
        index.rebuild()
        index.remove_study("2.25.4")
        assert index.verify().problems == ()


@sqlite_only
def test_a_sqlite_without_fts5_says_what_it_lacks(filled: CaseIndex, home: Path) -> None:
    """As a build without it does, of which the module has another name here."""
    filled.close()
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'USING fts5', 'USING fts55')")
    with CaseIndex.open(home) as index:
        for ask in (
            lambda: index.report_texts.find("effusion"),
            lambda: index.report_texts.put({"2.25.0": "Other."}, "import"),
        ):
            with pytest.raises(CatalogError, match="lacks: use a Python") as caught:
                ask()
            assert caught.value.code == "bad-home"


def test_the_texts_of_an_older_home_are_found(filled: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    """The migration makes the terms of more texts than it takes at once."""
    more = range(100, 900)
    filled.add([make_bundle(n, 1) for n in more], unit_vectors(len(more), 2))
    filled.report_texts.put({f"2.25.{n}": f"Fracture, study{n}." for n in more}, "import")
    filled.close()
    engine = create_engine(catalogue.url_in(home), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE report_terms"))
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TABLE report_search"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
        assert not [name for name in inspect(connection).get_table_names() if name.startswith("report_s")]
    with catalogue.open(home) as index:
        assert found(index, "effusion") == uids(*range(COUNT))
        assert len(index.report_texts.find("fracture", limit=2000)) == len(more)
        assert found(index, "study899") == uids(899)
        assert index.verify().problems == ()


@sqlite_only
def test_a_copy_of_the_catalogue_finds_the_same(
    filled: CaseIndex,
    home: Path,
    tmp_path: Path,
    postgresql_server: PostgresqlServer,
    new_database: Callable[[], str],
) -> None:
    """As backups do: the file of SQLite, its rows to PostgreSQL, and rows of PostgreSQL to SQLite."""
    filled.report_texts.put({"2.25.1": ""}, "import")
    questions = ["effusion", "ground-glass -study3", "caption picture5"]
    expected = [[one.matched for one in filled.report_texts.find(words)] for words in questions]
    filled.close()
    url, first, second = new_database(), tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    source = Database(home, None, 5)
    copy_catalogue(source, first)
    source.close()
    copy_rows(Database(first, None, 5, unchanging=True), Database(home, url, 5))
    server = Database(home, url, 5)
    copy_catalogue(server, second)
    server.close()
    for place in (f"sqlite:///{first}/catalog.db", url, f"sqlite:///{second}/catalog.db"):
        (home / "catalog.db").unlink(missing_ok=True)
        with CaseIndex.open(home, database_url=place) as copy:
            assert [[one.matched for one in copy.report_texts.find(words)] for words in questions] == expected
            assert copy.verify().problems == ()
            copy.report_texts.put({"2.25.2": ""}, "metadata")
