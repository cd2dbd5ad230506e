"""Collections of cases: made, changed, asked for, and left by cases that are forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.index_cases import make_bundle, unit_vectors
from tests.statements import statements


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    fields = ({"modality": "CT"}, {"modality": "MR"})
    index.add([make_bundle(n, 1, series_fields=fields[n % 2]) for n in range(10)], unit_vectors(10))
    return index


def members(index: CaseIndex, name: str) -> list[str]:
    return sorted(index.browser.uids([f"collection={name}"]))


def test_a_collection_takes_cases_in_and_lets_them_go(filled: CaseIndex) -> None:
    made = filled.collections.change("a|b", "ada", add=["2.25.1", "2.25.1", "2.25.99"])
    assert (made.added, made.removed, made.unknown) == (1, 0, ("2.25.99",))
    assert (made.collection.name, made.collection.author, made.collection.cases) == ("a|b", "ada", 1)
    changed = filled.collections.change("a|b", "bob", add=["2.25.1", "2.25.2"], remove=["2.25.1", "2.25.3"])
    assert (changed.added, changed.removed, changed.collection.author) == (1, 1, "ada")
    assert members(filled, "a\\|b") == ["2.25.2"]
    found = filled.browser.uids(["modality=CT"])
    filtered = filled.collections.change("a|b", "ada", add=found, remove=["2.25.4"])
    assert (filtered.added, filtered.removed, filtered.collection.cases) == (4, 1, 4)
    assert members(filled, "a\\|b") == ["2.25.0", "2.25.2", "2.25.6", "2.25.8"]
    assert [one.name for one in filled.collections.listed()] == ["a|b"]


def test_a_collection_of_all_and_of_none(filled: CaseIndex) -> None:
    assert filled.collections.change("all", "ada", add=filled.browser.uids()).collection.cases == 10
    assert filled.collections.change("none", "ada").collection.cases == 0
    assert [(one.name, one.cases) for one in filled.collections.listed()] == [("all", 10), ("none", 0)]
    assert members(filled, "none") == []


def test_a_removed_collection_leaves_its_cases(filled: CaseIndex) -> None:
    filled.collections.change("gone", "ada", add=filled.browser.uids())
    assert filled.collections.remove("gone") is True
    assert filled.collections.remove("gone") is False
    assert filled.collections.listed() == []
    assert len(filled.studies()) == 10
    with pytest.raises(CatalogError, match="no collection of that name"):
        members(filled, "gone")


def test_a_forgotten_case_leaves_its_collections(filled: CaseIndex) -> None:
    filled.collections.change("kept", "ada", add=filled.browser.uids())
    filled.remove_study("2.25.4")
    filled.remove_patient("patient-5")
    assert filled.collections.listed()[0].cases == 8
    filled.add([make_bundle(4, 1)], unit_vectors(1))
    assert "2.25.4" not in members(filled, "kept")


def test_filters_of_other_questions_know_collections(filled: CaseIndex) -> None:
    filled.collections.change("mine", "ada", add=["2.25.1", "2.25.2"])
    assert [one.study_instance_uid for one in filled.studies(["collection=mine"])] == ["2.25.1", "2.25.2"]
    hits = filled.search(unit_vectors(1), k=10, where=["collection=mine"])[0]
    assert {one.study_instance_uid for one in hits} == {"2.25.1", "2.25.2"}
    assert len(filled.table("study", ["not collection=mine"]).image_ids) == 8
    for text in ("collection~mi", "collection<mine"):
        with pytest.raises(CatalogError, match="use = or !="):
            filled.studies([text])


def test_there_are_only_so_many_collections(filled: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsiglip.index.browsing.collections.MOST_COLLECTIONS", 2)
    filled.collections.change("one", "ada")
    filled.collections.change("two", "ada")
    filled.collections.change("two", "ada", add=["2.25.1"])
    with pytest.raises(CatalogError, match="remove one first") as caught:
        filled.collections.change("three", "ada")
    assert caught.value.code == "too-many-collections"


def test_the_statements_do_not_grow(filled: CaseIndex, tmp_path: Path) -> None:
    found = {}
    for size in (1, 500, 2000):
        uids = [f"2.25.{n}" for n in range(size)]
        with statements() as seen:
            filled.collections.change(f"c{size}", "ada", add=uids, remove=uids)
            list(filled.browser.records(uids[:200]))
        found[size] = seen
    assert found[2000].texts == found[1].texts
    assert found[2000].parameters == found[1].parameters
