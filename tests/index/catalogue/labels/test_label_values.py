from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelKey, LabelRecord, LabelSummary
from medsiglip.index.records import Level
from tests.index.index_cases import make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    bundles = [make_bundle(1, 2, series=0), make_bundle(1, 1, series=1), make_bundle(2, 1)]
    index.add(bundles, unit_vectors(4))
    return index


def of_images(index: CaseIndex) -> dict[str, dict[str, float]]:
    return {one.sop_instance_uid: one.labels for study in (1, 2) for one in index.images_of(f"2.25.{study}")}


def test_the_most_specific_label_wins_downward(filled: CaseIndex) -> None:
    outcome = filled.labels.put(
        [
            LabelRecord("nodule", 1, "study_instance_uid", "2.25.1"),
            LabelRecord("nodule", 2, "series_instance_uid", "2.25.1.0"),
            LabelRecord("nodule", 3, "sop_instance_uid", "2.25.1.0.1"),
            LabelRecord("mass", 0.5, "path", "/data/2/0/0.dcm"),
        ]
    )
    assert (outcome.matched, outcome.unmatched) == (4, ())
    assert of_images(filled) == {
        "2.25.1.0.0": {"nodule": 2},
        "2.25.1.0.1": {"nodule": 3},
        "2.25.1.1.0": {"nodule": 1},
        "2.25.2.0.0": {"mass": 0.5},
    }


def test_a_study_has_its_own_label_or_else_the_highest_within(filled: CaseIndex) -> None:
    def of_studies() -> list[dict[str, float]]:
        return [study.labels for study in filled.studies()]

    filled.labels.put([LabelRecord("x", 0, "path", "/data/1/0/0.dcm")])
    assert of_studies() == [{"x": 0}, {}]
    filled.labels.put([LabelRecord("x", 1, "series_instance_uid", "2.25.1.1")])
    assert of_studies() == [{"x": 1}, {}]
    table = filled.table("series")
    assert dict(zip(table.ids, table.labels["x"].tolist(), strict=True)) == {
        "2.25.1.0": 0.0,
        "2.25.1.1": 1.0,
        "2.25.2.0": pytest.approx(math.nan, nan_ok=True),
    }
    filled.labels.put([LabelRecord("x", 0, "study_instance_uid", "2.25.1")])
    assert of_studies() == [{"x": 0}, {}]


def test_a_series_without_a_label_of_its_own_inherits_the_study_s(filled: CaseIndex) -> None:
    filled.labels.put([LabelRecord("x", 1, "study_instance_uid", "2.25.1")])
    assert filled.table("series").labels["x"][:2].tolist() == [1, 1]


def test_unknown_keys_come_back_and_are_not_stored(filled: CaseIndex) -> None:
    lost = [
        LabelRecord("x", 1, "path", "/data/9/0/0.dcm"),
        LabelRecord("x", 1, "sop_instance_uid", "2.25.1"),
        LabelRecord("x", None, "study_instance_uid", "9"),
    ]
    outcome = filled.labels.put([lost[0], LabelRecord("x", 1, "study_instance_uid", "2.25.2"), *lost[1:]])
    assert (outcome.matched, outcome.unmatched) == (1, tuple(lost))
    assert filled.labels.summaries() == [LabelSummary("x", "study", 1, 1)]


def test_none_takes_a_label_away_and_a_later_value_replaces_it(filled: CaseIndex) -> None:
    key: tuple[LabelKey, str] = ("study_instance_uid", "2.25.2")
    filled.labels.put([LabelRecord("x", 1, *key), LabelRecord("y", 1, *key)])
    filled.labels.put([LabelRecord("x", None, *key), LabelRecord("y", 0, *key), LabelRecord("y", 0.25, *key)])
    assert filled.study("2.25.2").labels == {"y": 0.25}


@pytest.mark.parametrize(
    "record",
    [
        LabelRecord(" ", 1, "path", "/data/2/0/0.dcm"),
        LabelRecord("a\0b", 1, "path", "/data/2/0/0.dcm"),
        LabelRecord("x", math.nan, "path", "/data/2/0/0.dcm"),
        LabelRecord("x", 1, "patient_id", "7"),  # type: ignore[arg-type]
    ],
)
def test_one_bad_record_stores_none(filled: CaseIndex, record: LabelRecord) -> None:
    with pytest.raises(CatalogError) as caught:
        filled.labels.put([LabelRecord("good", 1, "study_instance_uid", "2.25.2"), record])
    assert caught.value.code == "bad-label"
    assert filled.labels.summaries() == []


def test_labels_outlive_a_second_ingest_and_a_path_s_label_stays_with_its_pixels(filled: CaseIndex) -> None:
    filled.labels.put(
        [
            LabelRecord("drawn", 1, "path", "/data/2/0/0.dcm"),
            LabelRecord("said", 1, "sop_instance_uid", "2.25.2.0.0"),
        ]
    )
    filled.add([make_bundle(2, 1, replace_series=True)], unit_vectors(1, 7))
    assert of_images(filled)["2.25.2.0.0"] == {"drawn": 1, "said": 1}
    filled.add([make_bundle(2, 1, pixels="other", replace_series=True)], unit_vectors(1, 8))
    assert of_images(filled)["2.25.2.0.0"] == {"said": 1}


def test_hits_and_tables_carry_labels(filled: CaseIndex) -> None:
    filled.labels.put(
        [
            LabelRecord("x", 1, "study_instance_uid", "2.25.1"),
            LabelRecord("x", 0, "path", "/data/1/0/1.dcm"),
        ]
    )
    query = unit_vectors(4)[1:2]
    assert filled.search(query, k=1)[0][0].labels == {"x": 0}
    assert filled.search(query, k=1, level="study")[0][0].labels == {"x": 1}
    values = filled.table("image").labels["x"]
    assert np.array_equal(values, [1, 0, 1, np.nan], equal_nan=True)


KEYS: list[tuple[LabelKey, str]] = [
    *(("study_instance_uid", f"2.25.{study}") for study in (1, 2, 3)),
    *(("series_instance_uid", uid) for uid in ("2.25.1.0", "2.25.1.1", "2.25.2.0")),
    *(("sop_instance_uid", f"2.25.1.0.{i}") for i in (0, 1)),
    *(("path", f"/data/1/{place}.dcm") for place in ("0/0", "0/1", "1/0")),
]
RECORDS = st.builds(
    lambda name, value, key: LabelRecord(name, value, *key),
    st.sampled_from(["x", "y"]),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from(KEYS),
)
LEVELS: tuple[Level, ...] = ("image", "series", "study")


@pytest.mark.long(every=2)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, max_size=12))
def test_given_labels_count_as_the_same_ones_stored(filled: CaseIndex, records: list[LabelRecord]) -> None:
    filled.labels.put([LabelRecord(name, None, *key) for name in ("x", "y") for key in KEYS])
    filled.labels.put(records)
    stored = [filled.table(level).labels for level in LEVELS]
    filled.labels.put([LabelRecord("x", 7, *key) for key in KEYS])
    for level, expected in zip(LEVELS, stored, strict=True):
        given_labels = filled.table(level, given_labels=records).labels
        assert given_labels.keys() == expected.keys()
        for name, values in expected.items():
            assert np.array_equal(given_labels[name], values, equal_nan=True), (level, name)
