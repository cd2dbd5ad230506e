"""Lists of the query model against the records that were added, on both databases."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.hierarchy.hierarchy_store import PLACES_AT_ONCE
from medsiglip.index.catalogue.hierarchy.records import Match
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import SeriesBundle
from tests.index.index_cases import count_images, make_bundle, unit_vectors

DICOM = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2"}
NAMELESS: dict[str, Any] = {"quality": {"burned_in": "no"}}


def bundles() -> list[SeriesBundle]:
    """Twelve studies of one or two series; every fifth is of plain pictures."""
    made = []
    for study in range(12):
        day = f"2024-01-{study + 1:02}" if study % 4 else None
        fields = {"study_date": day, "study_description": f"CT of part {study % 3}"}
        for series in range(1 + study % 2):
            plain = study % 5 == 4
            made.append(
                make_bundle(
                    study,
                    2 + study % 3,
                    series=series,
                    patient=f"patient-{study % 4}",
                    study_fields=fields,
                    series_fields={"modality": "MR" if series else "CT"},
                    instance_fields={} if plain else DICOM,
                    image_fields=NAMELESS if study != 7 else {"quality": {"burned_in": "likely"}},
                )
            )
    return made


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    added = bundles()
    index.add(added, unit_vectors(count_images(added)))
    return index


def studies(match: Any = lambda bundle: True) -> set[str]:
    held = [one for one in bundles() if one.instances[0].sop_class_uid is not None]
    return {one.study.study_instance_uid for one in held if match(one)}


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ((), lambda one: True),
        ((Match("patient_key", ("patient-1", "patient-3")),), lambda one: one.study.patient_key[-1] in "13"),
        ((Match("patient_key", ("PATIENT-?",)),), lambda one: True),
        ((Match("patient_key", ("patient_1",)),), lambda one: False),
        ((Match("study_date", low="2024-01-03", high="2024-01-08"),), None),
        ((Match("study_date", high="2024-01-04"),), None),
        ((Match("study_description", ("*part 1",)),), lambda one: one.study.study_description[-1] == "1"),
        ((Match("modalities_in_study", ("MR",)),), lambda one: one.series.modality == "MR"),
        ((Match("modality", ("MR",)), Match("instance_number", ("3",))), None),
        ((Match("sop_instance_uid", ("2.25.3.1.0",)),), lambda one: one.study.study_instance_uid == "2.25.3"),
        ((Match("study_instance_uid", ("2.25.1", "2.25.4", "9")),), lambda one: True),
    ],
)
def test_studies_match_as_their_records_say(filled: CaseIndex, asked: tuple[Match, ...], match: Any) -> None:
    found = {one.study_instance_uid for one in filled.hierarchy.studies(asked, 100)}
    if asked and asked[0].attribute == "study_date":
        low, high = asked[0].low or "", asked[0].high or "9"
        wanted = studies(lambda one: one.study.study_date and low <= one.study.study_date <= high)
    elif len(asked) == 2:
        wanted = studies(lambda one: one.series.modality == "MR" and len(one.instances) > 3)
    elif asked and asked[0].attribute == "study_instance_uid":
        wanted = studies() & set(asked[0].values)
    else:
        wanted = studies(match)
    assert found == wanted


def test_counts_and_pages(filled: CaseIndex) -> None:
    whole = filled.hierarchy.studies((), 100)
    for one in whole:
        own = [each for each in bundles() if each.study.study_instance_uid == one.study_instance_uid]
        assert one.series == len(own)
        assert one.instances == sum(len(each.instances) for each in own)
        assert set(one.modalities) == {each.series.modality for each in own}
    paged = [one for start in range(0, 100, 3) for one in filled.hierarchy.studies((), 3, start)]
    assert paged == whole
    series = filled.hierarchy.series((), 100)
    assert sum(one.instances for one in series) == len(filled.hierarchy.instances((), 1000))
    assert [one.instance_number for one in filled.hierarchy.instances((Match("rows", ("1",)),), 9)] == []


def test_instances_come_with_their_files(filled: CaseIndex) -> None:
    places = list(filled.hierarchy.places("2.25.3", None, None))
    assert [one.instance.sop_instance_uid for one in places] == [
        f"2.25.3.{series}.{i}" for series in (0, 1) for i in range(2)
    ]
    assert [file.path for one in places for file in one.files] == [
        f"/data/3/{series}/{i}.dcm" for series in (0, 1) for i in range(2)
    ]
    assert not any(one.withheld for one in places)
    assert all(one.withheld for one in filled.hierarchy.places("2.25.7", "2.25.7.0", None))
    assert len(list(filled.hierarchy.places("2.25.3", "2.25.3.1", "2.25.3.1.1"))) == 1
    assert list(filled.hierarchy.places("2.25.4", None, None)) == []  # plain pictures
    assert list(filled.hierarchy.places("2.25.3", "2.25.4.0", None)) == []


def test_places_of_a_large_series_come_once(index: CaseIndex) -> None:
    count = 2 * PLACES_AT_ONCE + 7
    large = make_bundle(1, count, instance_fields=DICOM, image_fields=NAMELESS)
    other = make_bundle(2, 3, instance_fields=DICOM, image_fields=NAMELESS)
    index.add([large, other], unit_vectors(count + 3))
    found = [one.instance.sop_instance_uid for one in index.hierarchy.places("2.25.1", None, None)]
    assert found == [one.sop_instance_uid for one in large.instances]


def test_the_same_uid_with_other_pixels_is_listed_once(index: CaseIndex) -> None:
    first = make_bundle(1, 2, instance_fields=DICOM, image_fields=NAMELESS)
    again = replace(make_bundle(1, 2, pixels="b", instance_fields=DICOM, image_fields=NAMELESS), files=())
    index.add([first], unit_vectors(2))
    index.add([again], unit_vectors(2, 1))
    assert [one.pixel_hash for one in index.hierarchy.instances((), 9)] == ["a-1-0-0", "a-1-0-1"]
    [study] = index.hierarchy.studies((), 9)
    assert study.instances == 2
    assert len(list(index.hierarchy.places("2.25.1", None, None))) == 2


def test_questions_have_bounds(index: CaseIndex) -> None:
    for values in (("x" * 65,), tuple(map(str, range(1001))), ("a*", "b*")):
        with pytest.raises(CatalogError) as caught:
            index.hierarchy.studies((Match("study_instance_uid", values),), 5)
        assert caught.value.code == "bad-query"


def test_wildcards_are_those_of_dicom(index: CaseIndex) -> None:
    texts = ["CT 50% lung", "CT_lung", "ct\\lung", "MR lung", "CTxlung"]
    for number, text in enumerate(texts):
        one = make_bundle(
            number,
            1,
            instance_fields=DICOM,
            image_fields=NAMELESS,
            study_fields={"study_description": text},
        )
        index.add([one], unit_vectors(1, number))
    for pattern in ("CT_*", "*%*", "?R lung", "ct\\*", "*"):
        found = index.hierarchy.studies((Match("study_description", (pattern,)),), 9)
        wanted = {text for text in texts if fnmatchcase(text.lower(), pattern.lower())}
        assert {one.study_description for one in found} == wanted, pattern
