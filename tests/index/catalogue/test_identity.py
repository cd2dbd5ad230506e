"""A home and a catalogue that do not belong together are refused, and lose nothing by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Archive, Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors

MakeCatalogue = Callable[[], Catalogue]


def refusal(open_it: Callable[[], CaseIndex]) -> str:
    """The code of the error that an opening ends with; its message names a cure."""
    with pytest.raises(CatalogError) as caught:
        open_it().close()
    assert "nothing was changed" in str(caught.value)
    assert "index recover" in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("create", [True, False])
def test_an_empty_catalogue_is_refused_and_nothing_of_the_home_goes(
    make_archive: Callable[[str], Archive], make_catalogue: MakeCatalogue, tmp_path: Path, create: bool
) -> None:
    ours = make_archive("ours")
    ours.fill(range(3))
    ours.age()
    before = ours.files()
    empty = make_catalogue().url or f"sqlite:///{tmp_path / 'empty.db'}"
    for _ in range(2):
        assert refusal(lambda: ours.open(empty, create=create)) == "other-catalogue"
    assert ours.files() == before
    if empty.startswith("sqlite"):
        assert not (tmp_path / "empty.db").exists()
    with ours.open() as index:
        assert index.verify().problems == ()
        assert index.info().images == 9


@sqlite_only
def test_a_lost_catalogue_is_not_replaced_by_an_empty_one(home: Path, catalogue: Catalogue) -> None:
    """As when MEDSIGLIP_DATABASE_URL is not set any more: the catalogue would be `catalog.db` of the home."""
    with catalogue.open(home) as index:
        index.activate(SPACE)
        index.add([make_bundle(1, 2)], unit_vectors(2))
    saved = (home / "catalog.db").rename(home.with_name("saved.db"))
    assert refusal(lambda: catalogue.open(home)) == "other-catalogue"
    assert not (home / "catalog.db").exists()
    saved.rename(home / "catalog.db")
    with catalogue.open(home) as index:
        assert index.verify().ok


def test_another_home_s_catalogue_is_refused_by_both_homes(make_archive: Callable[[str], Archive]) -> None:
    ours, theirs = make_archive("ours"), make_archive("theirs")
    ours.fill(range(3))
    theirs.fill(range(5, 7))
    for archive, other in ((ours, theirs), (theirs, ours)):
        archive.age()
        before = archive.files()
        for _ in range(2):
            assert refusal(partial(archive.open, other.url)) == "other-catalogue"
        assert archive.files() == before
        with archive.open() as index:
            assert index.verify().problems == ()


def test_a_catalogue_with_a_new_home_is_refused(
    make_archive: Callable[[str], Archive], tmp_path: Path
) -> None:
    ours = make_archive("ours")
    ours.fill(range(3))
    for place in ("never-there", "empty"):
        elsewhere = tmp_path / place
        if place == "empty":
            elsewhere.mkdir()
        code = refusal(partial(CaseIndex.open, elsewhere, database_url=ours.url))
        assert code == "other-catalogue"
        assert not elsewhere.exists() or list(elsewhere.iterdir()) == []
    with ours.open() as index:
        assert index.verify().problems == ()


def test_an_older_catalogue_is_refused_until_the_newest_is_back(
    make_archive: Callable[[str], Archive],
) -> None:
    ours = make_archive("ours")
    ours.fill(range(3))
    backup = ours.backup()
    ours.fill(range(3, 5))
    with ours.open() as index:
        index.remove_study("2.25.0")
        index.compact()
    ours.age()
    before = ours.files()
    for _ in range(2):
        assert refusal(lambda: ours.open(backup)) == "older-catalogue"
    assert ours.files() | {"identity.json": b""} == before | {"identity.json": b""}
    with ours.open() as index:
        assert index.verify().problems == ()
        assert {study.study_instance_uid for study in index.studies()} == {f"2.25.{n}" for n in range(1, 5)}


def test_the_identity_stands_on_both_sides_without_a_password(index: CaseIndex, home: Path) -> None:
    told = json.loads((home / "identity.json").read_text())
    assert set(told) == {"id", "catalogue"}
    assert len(told["id"]) == 32
    assert "@" not in told["catalogue"]


def test_a_damaged_identity_is_named(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    index.close()
    for damaged in (b"", b"{}", b"[1]", b"\xff"):
        (home / "identity.json").write_bytes(damaged)
        with pytest.raises(CatalogError, match=r"identity\.json") as caught:
            catalogue.open(home)
        assert caught.value.code == "bad-home"


def test_a_home_whose_identity_was_lost_is_known_by_its_vectors(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.close()
    before = (home / "identity.json").read_text()
    (home / "identity.json").unlink()
    with catalogue.open(home) as again:
        assert again.verify().ok
    assert (home / "identity.json").read_text() == before


def test_a_reader_that_opens_while_others_write_sees_no_strange_files(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    """Between the listing of the files and that of the rows, shards are written, named, merged and
    dropped.
    """
    from concurrent.futures import ThreadPoolExecutor

    def write() -> None:
        for study in range(12):
            index.add([make_bundle(study, 1)], unit_vectors(1, study))
            if study % 3 == 2:
                index.compact()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        opened = 0
        while not writing.done() or opened < 3:
            catalogue.open(home).close()
            opened += 1
        writing.result()
