"""Facets against counts in plain Python, and against the pages that their filters give."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medsiglip.index.browsing.browsing_records import Facets
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from tests.index.browsing.random_archive import RandomArchive, fill, filters
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

OWN = {
    "modality": ["modality"],
    "body_part_examined": ["body_part_examined"],
    "label": ["label:"],
    "age": ["patient_age"],
    "sex": ["patient_sex"],
    "year": ["study_date"],
    "quality": ["quality.lossy", "quality.blank"],
    "burned-in": ["quality.burned_in"],
    "collection": ["collection"],
}


@pytest.fixture(scope="module")
def filled(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[CaseIndex, RandomArchive]]:
    archive = RandomArchive()
    with make_catalogue().open(tmp_path_factory.mktemp("facets") / "home") as index:
        index.activate(SPACE)
        fill(index, archive, range(30), 5)
        yield index, archive


def is_own(field: str, text: str) -> bool:
    return " or patient_age" not in text and any(text.removeprefix("not ").startswith(o) for o in OWN[field])


def require_true(index: CaseIndex, facets: Facets, where: list[str]) -> None:
    """Each value counts the cases that a page shows where its filter stands in place of the facet's own."""
    for facet in facets.facets:
        others = [text for text in where if not is_own(facet.field, text)]
        for value in facet.values:
            page = index.browser.page([*others, value.where], limit=200)
            assert value.count == page.total > 0, (facet.field, value, where)


@pytest.mark.long(every=2)
def test_each_value_counts_what_its_filter_finds(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, archive = filled
    known, rng = filters(archive), random.Random(6)
    for size in (0, 1, 2, 3):
        where = rng.sample(sorted(known), size)
        facets = index.browser.facets(where)
        assert facets.total == len(archive.fitting(*(known[text] for text in where)))
        require_true(index, facets, where)


def test_the_values_are_all_that_cases_have(filled: tuple[CaseIndex, RandomArchive]) -> None:
    index, archive = filled
    facets = {one.field: one for one in index.browser.facets().facets}
    assert list(facets) == list(OWN)
    values = {name: {one.value for one in facet.values} for name, facet in facets.items()}
    pictures = archive.pictures
    assert values["modality"] == {(p.values["modality"] or "").upper() for p in pictures}
    assert values["body_part_examined"] == {(p.values["body_part_examined"] or "").upper() for p in pictures}
    assert values["sex"] == {(p.values["sex"] or "").upper() for p in pictures}
    assert values["year"] == {(p.values["date"] or "")[:4] for p in pictures}
    assert values["label"] == {name for p in pictures for name, value in p.labels.items() if value == 1}
    assert values["quality"] == {
        n for p in pictures for n, v in p.quality.items() if v == 1 and n != "sharpness"
    }
    assert values["burned-in"] == {p.quality.get("burned_in", "") for p in pictures}
    assert values["collection"] == {"teaching", "to read"}
    # Years and ages in their own order, others by how many cases have them.
    assert [one.value for one in facets["year"].values] == ["2024", "2023", "2022", "2021", ""]
    assert [one.value for one in facets["age"].values] == [
        *("under 18", "18-29", "40-49", "60-69", "70-79", "80 and over", "")
    ]
    counts = [one.count for one in facets["modality"].values]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.long(every=2)
def test_an_index_that_changes_is_counted_anew(catalogue: Catalogue, tmp_path: Path) -> None:
    """Of a newer catalogue only what came is read, and what went is left out: as a new process counts."""
    archive = RandomArchive()
    home = tmp_path / "home"
    with catalogue.open_migrated(home) as index:
        assert index.browser.facets().total == 0
        assert index.browser.facets().facets[0].values == ()

        def compare() -> None:
            with catalogue.open(home) as other:
                assert index.browser.facets() == other.browser.facets()
            require_true(index, index.browser.facets(), [])

        fill(index, archive, range(12), 7)
        compare()
        fill(index, archive, range(12, 20), 8)
        compare()
        index.remove_study("2.25.3")
        compare()
        # Come and gone at once: as many images as before, but others.
        index.remove_study("2.25.5")
        index.add([make_bundle(700 + n, 1) for n in range(9)], unit_vectors(9, 1))
        index.labels.put([LabelRecord("effusion", 1.0, "study_instance_uid", "2.25.701")])
        compare()
        index.collections.change("teaching", "tester", add=["2.25.702"])
        compare()
        for uid in [one.study_instance_uid for one in index.studies()]:
            index.remove_study(uid)
        assert index.browser.facets().total == 0


def test_readers_who_disagree_leave_no_label_to_count(catalogue: Catalogue, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with catalogue.open_migrated(home) as index, catalogue.open(home) as other:
        index.add([make_bundle(n, 1) for n in range(4)], unit_vectors(4))

        def say(reader: str, *values: float | None) -> None:
            rows = [
                LabelRecord("mass", value, "study_instance_uid", f"2.25.{n}")
                for n, value in enumerate(values)
            ]
            index.labels.put(rows, reader)

        def counted() -> dict[str, int]:
            """As another process counts, which is told of nothing."""
            [facet] = [one for one in other.browser.facets().facets if one.field == "label"]
            assert [one.count for one in facet.values] == [other.browser.page(["label:mass=1"]).total]
            return {one.value: one.count for one in facet.values}

        say("ann", 1.0, 1.0, 1.0, 0.0)
        assert counted() == {"mass": 3}
        say("ben", 1.0, 0.0, 0.0, 1.0)
        assert counted() == {"mass": 1}
        say("cleo", 0.0, 1.0, 0.0, 1.0)
        assert counted() == {"mass": 3}
        index.labels.undo("cleo")
        assert counted() == {"mass": 1}
        say("ben", None, None, None, None)
        assert counted() == {"mass": 3}
        index.remove_study("2.25.0")
        assert counted() == {"mass": 2}


def test_a_facet_lists_the_most_frequent_of_many_values(catalogue: Catalogue, tmp_path: Path) -> None:
    with catalogue.open_migrated(tmp_path / "home") as index:
        bundles = [
            make_bundle(n, 1, series_fields={"body_part_examined": f"PART {n % 70}", "modality": "DX"})
            for n in range(100)
        ]
        index.add(bundles, unit_vectors(100))
        facet = index.browser.facets(["modality=DX"]).facets[1]
        assert (len(facet.values), facet.more) == (50, 20)
        assert [one.count for one in facet.values] == [2] * 30 + [1] * 20
